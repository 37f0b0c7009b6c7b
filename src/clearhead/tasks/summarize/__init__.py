"""Summaries: texts of any length in few words, each sentence linked to the passages that it rests on."""

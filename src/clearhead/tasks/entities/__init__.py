"""Entities: people, places and organisations in a text of any length, as exact spans."""

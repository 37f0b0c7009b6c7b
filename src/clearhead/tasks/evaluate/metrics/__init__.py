"""Figures and how they are counted; none of them knows a model or a file."""

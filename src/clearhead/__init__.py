"""Clearhead: a Transformer you can see through, at full speed."""

__version__ = "0.1.0"

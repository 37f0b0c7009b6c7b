"""Constituency trees: read and written, as sequences for a decoder, what may follow a prefix, how they are scored."""

"""One task over files of rows: each row once, whatever happens on the way, and what failed kept apart."""

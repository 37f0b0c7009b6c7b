"""What the translation of lines is made of: kinds of models, languages, alignment, glossaries, the page."""

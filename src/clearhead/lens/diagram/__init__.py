"""The architecture of a model as a figure: in characters, for papers, and for the page."""

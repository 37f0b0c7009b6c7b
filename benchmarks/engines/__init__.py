"""One engine a file: a class `Engine` over the package of that name. Imported in worker processes only."""

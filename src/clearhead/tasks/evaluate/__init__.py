"""How good is a model at a task: its figures on a file of examples, with what decided them and failures to read."""

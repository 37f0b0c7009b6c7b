"""Code from a request in natural language, and the tests that judge it, run where they can do no harm."""

"""Programs that nobody has read, run apart from this machine: with limits, without a network, and leaving nothing.

`run` (parent) starts `inside` (a small process of its own), which shuts itself in by everything that the system offers
and only then becomes the program. What is held, and by what, comes back with the outcome.
"""

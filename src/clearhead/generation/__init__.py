"""Choosing tokens: from an executor's logits to finished sequences, in token ids only.

Start at `generate` (module `generate`): it picks the mode a request asks for. Each mode is a module of its own:
`decode`, `speculative`, `beam`, `fill_mask`, `score`.
"""

"""TransformerLens's names for places, for those who know them: `blocks.3.attn.hook_pattern` is
`decoder.layers.3.attention.weights`.

Names mean what they mean in its version 4, on weights as the checkpoint has them (no norm folded into what follows);
where a name of theirs is another value than any of ours, we do not know it. Only names carry over: axes stay ours
(`clearhead.trace.schema`), heads before positions, no batch. Beside an encoder, blocks are `encoder_blocks.3...` and
`decoder_blocks.3...`, and a decoder's own attention is `self_attn`, as there.
"""

import re

from clearhead.config import ModelConfig
from clearhead.trace.schema import STACKS, last_stack

IN_BLOCK = {
    "hook_resid_pre": "input",
    "hook_resid_post": "output",
    "hook_attn_out": "attention.output",
    "hook_cross_attn_out": "cross_attention.output",
    "hook_mlp_out": "mlp.output",
    "mlp.hook_post": "mlp.hidden",
}
IN_ATTENTION = {
    "hook_q": "query",
    "hook_k": "key",
    "hook_v": "value",
    "hook_pattern": "weights",
    "hook_z": "heads",
    "hook_rot_q": "query",
    "hook_rot_k": "key",
    "o.hook_out": "output",
}
MODULES = {"attn": "attention", "self_attn": "attention", "cross_attn": "cross_attention"}
BLOCK = re.compile(r"(?:(encoder|decoder)_)?blocks\.(\d+|\*)\.(.+)")


def ours(name: str, config: ModelConfig) -> str:
    """Our path for a name of TransformerLens; any other name comes back as it is."""
    whole = outside_blocks(config)
    if name in whole:
        return whole[name]
    block = BLOCK.fullmatch(name)
    if block is None:
        return name
    place = in_block(block[3], config)
    return name if place is None else f"{block[1] or last_stack(config)}.layers.{block[2]}.{place}"


def outside_blocks(config: ModelConfig) -> dict[str, str]:
    """Names before and after the blocks.

    `hook_embed` is what the norm of an embedding made, where there is one. Of two stacks it is the encoder's, before
    scaling, which we do not show. `ln_final.hook_normalized` lacks the norm's gain, and is not shown either; where
    norms come last, `ln_final` is the head's own.
    """
    last = last_stack(config)
    if config.kind == "encoder-decoder":
        finals, embedded = {f"{stack}_ln_final.hook_out": f"{stack}.output" for stack in STACKS}, {}
    else:
        finals = {"ln_final.hook_out": f"{last}.output"}
        tokens = f"{last}.embed.output" if config.embedding_norm else f"{last}.embed.tokens"
        embedded = {"hook_embed": tokens, "hook_pos_embed": f"{last}.embed.positions"}
    return embedded | finals if config.norm_placement == "pre" else embedded


def in_block(name: str, config: ModelConfig) -> str | None:
    """The same within a block; None for a place that we do not show.

    Queries and keys are recorded as attention uses them, so that with rotary positions only `hook_rot_q` and
    `hook_rot_k` are names of theirs. BERT's `hook_attn_out` comes after the norm; `attn.o.hook_out` is before it.
    """
    if name == "hook_attn_out" and config.kind == "encoder" and config.norm_placement == "post":
        return None
    if name in IN_BLOCK:
        return IN_BLOCK[name]
    module, _, hook = name.partition(".")
    rotary, turned = config.position == "rotary", hook.startswith("hook_rot_")
    if module not in MODULES or hook not in IN_ATTENTION or (hook in ("hook_q", "hook_k") and rotary):
        return None
    return None if turned and not rotary else f"{MODULES[module]}.{IN_ATTENTION[hook]}"

"""TransformerLens's names for places, for those who know them: `blocks.3.attn.hook_pattern` is
`decoder.layers.3.attention.weights`.

Only the names carry over: axes stay ours (`clearhead.trace.schema`), heads before positions, no batch. Encoder blocks
are `encoder_blocks.3...`, decoder blocks beside an encoder `decoder_blocks.3...`, as there.
"""

import re

from clearhead.config import ModelConfig
from clearhead.trace.schema import last_stack

WHOLE = {
    "hook_embed": "embed.tokens",
    "hook_pos_embed": "embed.positions",
    "ln_final.hook_normalized": "output",
}
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
}
MODULES = {"attn": "attention", "cross_attn": "cross_attention"}
BLOCK = re.compile(r"(?:(encoder|decoder)_)?blocks\.(\d+|\*)\.(.+)")


def ours(name: str, config: ModelConfig) -> str:
    """Our path for a name of TransformerLens; any other name comes back as it is.

    Queries and keys are recorded as attention uses them, so that with rotary positions only `hook_rot_q` and
    `hook_rot_k` are names of theirs.
    """
    stack = last_stack(config)
    if name in WHOLE:
        return f"{stack}.{WHOLE[name]}"
    block = BLOCK.fullmatch(name)
    if block is None:
        return name
    place = in_block(block[3], rotary=config.position == "rotary")
    return name if place is None else f"{block[1] or stack}.layers.{block[2]}.{place}"


def in_block(name: str, *, rotary: bool) -> str | None:
    """The same within a block; None for a place that we do not show."""
    if name in IN_BLOCK:
        return IN_BLOCK[name]
    module, _, hook = name.partition(".")
    turned = hook.startswith("hook_rot_")
    if module not in MODULES or hook not in IN_ATTENTION or (hook in ("hook_q", "hook_k") and rotary):
        return None
    return None if turned and not rotary else f"{MODULES[module]}.{IN_ATTENTION[hook]}"

"""How files write rotary scaling: config.json, old style (`rope_scaling`) and new (`rope_parameters`), and GGUF."""

import math
from typing import Any

from clearhead.config import ModelConfig, RotaryScaling
from clearhead.errors import ConfigError
from clearhead.families.family import Tensors
from clearhead.families.fields import Fields


def section_of(fields: Fields) -> Fields:
    """The table about rotary positions; the old style goes before the new, as transformers 5 has it."""
    sections = (fields.section("rope_scaling"), fields.section("rope_parameters"))
    return next((section for section in sections if section and section.values), Fields({}, fields.where))


def base_from_hf(fields: Fields) -> float:
    """The base of the frequencies, which stands in that table, or beside it."""
    beside: float = fields.number("rope_theta", default=10_000.0)
    base: float = section_of(fields).number("rope_theta", default=beside)
    return base


def scaling_from_hf(fields: Fields) -> RotaryScaling | None:
    """The scaling a config.json asks for, or None for plain rotary positions."""
    section = section_of(fields)
    for part in (fields, section):
        part.expect("partial_rotary_factor", 1.0, None)
    kind = section.text("rope_type", "type", default="default")
    if kind == "default":
        return None
    trained = fields.integer("max_position_embeddings", default=2048)
    if kind == "linear":
        return RotaryScaling(kind="linear", factor=section.number("factor"))
    if kind == "llama3":
        return RotaryScaling(
            kind="llama3",
            factor=section.number("factor"),
            original_max_positions=section.integer("original_max_position_embeddings", default=trained),
            low_frequency_factor=section.number("low_freq_factor"),
            high_frequency_factor=section.number("high_freq_factor"),
        )
    if kind == "yarn":
        return yarn_from_hf(section, trained)
    raise ConfigError(
        f"{section.where}: rope_type {kind!r} is not one Clearhead computes; it reads linear, llama3, yarn"
    )


def yarn_from_hf(section: Fields, trained: int) -> RotaryScaling:
    """YaRN's fields; the factor of cos and sin follows section 3.4 of Peng et al. 2023 unless the file states it."""
    original = section.integer("original_max_position_embeddings", default=trained)
    factor = section.number("factor", default=None) or trained / max(original, 1)
    stated = section.number("attention_factor", default=None)
    numerator, denominator = section.number("mscale", default=0.0), section.number("mscale_all_dim", default=0.0)
    if not (numerator and denominator):
        numerator, denominator = 1.0, 0.0
    return RotaryScaling(
        kind="yarn",
        factor=factor,
        original_max_positions=original,
        beta_fast=section.number("beta_fast", default=32.0) or 32.0,
        beta_slow=section.number("beta_slow", default=1.0) or 1.0,
        attention_factor=stated or sharpening(factor, numerator, denominator),
        truncate=section.flag("truncate", default=True),
    )


def sharpening(factor: float, scale: float, undone: float = 0.0) -> float:
    """How much sharper attention must be over a window `factor` times as long: 0.1 scale ln(factor) + 1, over the same
    for what is `undone` of it elsewhere."""
    if factor <= 1:
        return 1.0
    divisor = 0.1 * undone * math.log(factor) + 1.0
    if divisor <= 0:
        raise ConfigError(f"YaRN's mscale_all_dim {undone} leaves no attention over a window {factor} times as long")
    return (0.1 * scale * math.log(factor) + 1.0) / divisor


def scaling_to_hf(config: ModelConfig) -> dict[str, Any]:
    """The `rope_theta` and `rope_scaling` entries that read back as this configuration's."""
    scaling = config.rotary_scaling
    entries: dict[str, Any] = {"rope_theta": config.rotary_base}
    if scaling is None:
        return entries
    if scaling.kind == "factors":
        raise ConfigError("rotary scaling by one factor per frequency (from a GGUF file) has no form in config.json")
    table: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind != "linear":
        table["original_max_position_embeddings"] = scaling.original_max_positions
    if scaling.kind == "llama3":
        table |= {"low_freq_factor": scaling.low_frequency_factor, "high_freq_factor": scaling.high_frequency_factor}
    if scaling.kind == "yarn":
        table |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncate}
        table["attention_factor"] = scaling.attention_factor
    return entries | {"rope_scaling": table}


def scaling_from_gguf(fields: Fields, tensors: Tensors, head_dim: int) -> RotaryScaling | None:
    """The scaling a GGUF file asks for: by its keys, or by a tensor of one factor per frequency (Llama 3.1 on)."""
    kind = fields.text("rope.scaling.type", default="linear")
    factor = fields.number("rope.scaling.factor", "rope.scale_linear", default=0.0) or 1.0
    plain = kind == "none" or (kind == "linear" and factor == 1.0)
    if "rope_freqs.weight" in tensors:
        if not plain or tensors["rope_freqs.weight"].shape != (head_dim // 2,):
            raise ConfigError(
                f"{fields.where}: rope_freqs.weight {list(tensors['rope_freqs.weight'].shape)} must hold "
                f"{head_dim // 2} factors and stand without other rotary scaling ({kind})"
            )
        return RotaryScaling(kind="factors", factors=tuple(map(float, tensors["rope_freqs.weight"].read())))
    if plain:
        return None
    if kind == "linear":
        return RotaryScaling(kind="linear", factor=factor)
    if kind == "yarn":
        return yarn_from_gguf(fields, factor)
    raise ConfigError(f"{fields.where}: rope.scaling.type {kind!r} is not computed; Clearhead reads linear and yarn")


def yarn_from_gguf(fields: Fields, factor: float) -> RotaryScaling:
    """YaRN's keys. llama.cpp's converter copies a stated factor of cos and sin; else `sharpening` gives it."""
    fields.expect("rope.scaling.yarn_ext_factor", 1.0)
    stated = fields.number("rope.scaling.yarn_attn_factor", default=None)
    undone = max(0.0, fields.number("rope.scaling.yarn_log_multiplier", default=0.0))
    computed = sharpening(factor, 1.0, undone)
    return RotaryScaling(
        kind="yarn",
        factor=factor,
        original_max_positions=fields.integer("rope.scaling.original_context_length", "context_length"),
        beta_fast=fields.number("rope.scaling.yarn_beta_fast", default=32.0),
        beta_slow=fields.number("rope.scaling.yarn_beta_slow", default=1.0),
        attention_factor=(stated or computed) * fields.number("rope.scaling.attn_factor", default=1.0),
    )

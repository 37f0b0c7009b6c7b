"""Which kind of model a task needs, and with which head; a loaded model keeps its own where it is the one."""

from typing import TypeVar

from clearhead.config import Head, ModelConfig, with_head
from clearhead.errors import ConfigError
from clearhead.recurrent.config import RecurrentConfig

NEEDS: dict[str, tuple[str, Head]] = {
    "causal": ("decoder", "lm"),
    "instruct": ("decoder", "lm"),
    "masked": ("encoder", "mlm"),
    "labels": ("encoder", "token_labels"),
    "translation": ("encoder-decoder", "lm"),
    "spans": ("encoder-decoder", "lm"),
    "parsing": ("encoder-decoder", "lm"),
}
ARTICLES = {"encoder": "an encoder", "decoder": "a decoder", "encoder-decoder": "an encoder with a decoder"}
Config = TypeVar("Config", ModelConfig, RecurrentConfig)


def for_task(config: Config, task: str, labels: tuple[str, ...] = ()) -> Config:
    """A loaded model's configuration as the task needs it: another head where its own is not the one, and then
    without the pooler, which no token's head reads.

    Raises:
        ConfigError: a model with other stacks than the task needs.
    """
    kind, head = NEEDS[task]
    if config.kind != kind:
        raise ConfigError(f"the base is {ARTICLES[config.kind]}; task {task} needs {ARTICLES[kind]}")
    if isinstance(config, ModelConfig) and kind == "encoder":
        return with_head(config, head, labels if head == "token_labels" else ())
    return config

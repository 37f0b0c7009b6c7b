"""An instruction model asked to go on with an answer that has begun: how a text is steered while it is written."""

from dataclasses import replace

from clearhead.engine.model import Model
from clearhead.engine.options import Options
from clearhead.engine.request import Request
from clearhead.errors import ContextWindowError


def request(model: Model, instruction: str, said: str, options: Options) -> Request:
    """What is to follow `said` in the model's answer to an instruction. `options` name `max_new_tokens`.

    Raises:
        ContextWindowError: there is no room for the instruction, what was said and what is to come.
        UnsupportedError: the model has no chat template.
        OptionError: an impossible option.
    """
    config = model.generation_config(options)
    window = model.config.max_positions
    prompt = model.prompter.chat([{"role": "user", "content": instruction}], limit=window, strategy="error")
    begun = model.tokenizer.encode(said, add_special_tokens=False, parse_special=False) if said else []
    ids = [*prompt.ids, *begun]
    if len(ids) + config.max_new_tokens > window:
        raise ContextWindowError(
            f"the instruction takes {len(ids)} tokens and its answer {config.max_new_tokens}; the context window of "
            f"{model.name} has room for {window}; shorten the title or the outline"
        )
    # with no separator the decoder of the new text has read what was said, so that the space between them is kept
    whole = replace(prompt, ids=ids, sent=prompt.sent + said, separator="" if begun else prompt.separator)
    return model.request(whole, config, "error")

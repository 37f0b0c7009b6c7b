"""Chat templates: from messages to the prompt a model was trained on, and to its ids, with messages kept as data.

A template is a program in Jinja that came with the model; `sandbox.py` is where it runs. What transformers'
documentation promises to templates ("Writing a chat template") holds here: blocks trimmed, `raise_exception`,
`strftime_now`, `tojson`, `break` and `continue`, `tools` and `documents` that are none.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from clearhead.errors import TemplateError
from clearhead.text.tokenizer import Tokenizer

Message = Mapping[str, str]
Prompt = Callable[[Sequence[Message]], str]
ABSENT = {"tools": None, "documents": None}  # what transformers passes when a caller has none
ROLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")  # templates write it between control tokens


def render(
    template: str,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    bos_token: str | None = None,
    eos_token: str | None = None,
) -> str:
    """The prompt for `messages`, each a mapping with "role" and "content" and perhaps other strings.

    `add_generation_prompt` ends it where the assistant's answer begins. `bos_token` and `eos_token` are how the
    vocabulary spells them, for templates that write them.

    Raises:
        TemplateError: messages of another shape or none; a template that is malformed, forbidden, endless or refuses.
    """
    checked = check_messages(messages)
    tokens = {"bos_token": bos_token, "eos_token": eos_token}
    variables = {name: token for name, token in tokens.items() if token is not None}
    return run(template, checked, ABSENT | variables | {"add_generation_prompt": add_generation_prompt})


def encode_chat(
    tokenizer: Tokenizer,
    template: str,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    bos_token: str | None = None,
    eos_token: str | None = None,
) -> list[int]:
    """Ids of the prompt for `messages`, in which only the template itself can write control tokens.

    Raises:
        TemplateError: as `render`; also for content that spells a control token to a template which acts upon it.

    The prompt is tokenised as a whole, so for content that spells no control token the ids are transformers' own: to
    tokenise template and content apart would lose the merges across their borders. Where content does spell one, the
    prompt is rendered a second time with those places marked, to learn which of the control tokens in the ids came
    from content; each of them is replaced by the ids of its text. Vocabularies cut text at control tokens before all
    else, so the ids of everything around it stay as they are.
    """

    def prompt(chat: Sequence[Message]) -> str:
        return render(
            template, chat, add_generation_prompt=add_generation_prompt, bos_token=bos_token, eos_token=eos_token
        )

    text = prompt(messages)
    ids = tokenizer.encode(text, add_special_tokens=False)
    names = {i: tokenizer.pieces([i])[0] for i in tokenizer.special_ids}
    spelled = re.compile("|".join(map(re.escape, sorted(filter(None, names.values()), key=len, reverse=True))))
    strings = [value for message in messages for key, value in message.items() if key != "role"]
    if not spelled.pattern or not any(map(spelled.search, strings)):
        return ids
    spans = strangers(text, prompt, messages, spelled)
    found = [(m[0], any(a < m.end() and m.start() < b for a, b in spans)) for m in spelled.finditer(text)]
    return disarmed(tokenizer, ids, names, found)


def strangers(
    text: str, prompt: Prompt, messages: Sequence[Message], spelled: re.Pattern[str]
) -> list[tuple[int, int]]:
    """Where in `text` content spells control tokens: start and end of each place."""
    used = set(text).union(*(value for message in messages for value in message.values()))
    opening, closing = [c for c in map(chr, range(0xE000, 0xE000 + len(used) + 2)) if c not in used][:2]
    marked = [
        {k: v if k == "role" else spelled.sub(f"{opening}\\g<0>{closing}", v) for k, v in message.items()}
        for message in messages
    ]
    rendered = prompt(marked)
    if rendered.replace(opening, "").replace(closing, "") != text:
        raise TemplateError("a message spells a control token, and this chat template acts upon it; remove it")
    return list(marked_spans(rendered, opening, closing))


def marked_spans(rendered: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Spans between marks, counted as if the marks were not there."""
    place = start = 0
    for character in rendered:
        if character == opening:
            start = place
        elif character == closing:
            yield start, place
        else:
            place += 1


def disarmed(
    tokenizer: Tokenizer, ids: list[int], names: Mapping[int, str], found: list[tuple[str, bool]]
) -> list[int]:
    """`ids` with the control tokens that came from content replaced by the ids of their text."""
    out: list[int] = []
    waiting = iter(found)
    expected, foreign = next(waiting, ("", False))
    for i in ids:
        if names.get(i) != expected or not expected:  # the unknown token also stands for what cannot be spelled
            out.append(i)
            continue
        out += plain_ids(tokenizer, expected, names) if foreign else [i]
        expected, foreign = next(waiting, ("", False))
    if expected:
        raise TemplateError(f"a message spells the control token {expected[:40]!r}; remove it")
    return out


def plain_ids(tokenizer: Tokenizer, name: str, names: Mapping[int, str]) -> list[int]:
    """Ids of a control token's spelling as plain text, without the space that some vocabularies begin a text with."""
    line = tokenizer.encode("\n", add_special_tokens=False, parse_special=False)
    ids = tokenizer.encode("\n" + name, add_special_tokens=False, parse_special=False)
    if ids[: len(line)] == line:
        ids = ids[len(line) :]
    else:
        ids = tokenizer.encode(name, add_special_tokens=False, parse_special=False)
    if any(names.get(i) == name for i in ids):
        raise TemplateError(
            f"a message spells the control token {name[:40]!r}, which this vocabulary cannot tell from text"
        )
    return ids


def check_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """A copy of the messages in plain dictionaries.

    Raises:
        TemplateError: not a list of messages with a role and content, or an empty one.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence) or not messages:
        raise TemplateError("a chat is a list of at least one message, each with 'role' and 'content'")
    for n, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise TemplateError(f"message {n} has no 'role' and 'content'")
        for key, value in message.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TemplateError(f"message {n}: {str(key)[:40]!r} is {type(value).__name__}; it must be text")
        if not ROLE.fullmatch(message["role"]):
            raise TemplateError(
                f"message {n} has the role {message['role'][:40]!r}; use 'system', 'user' or 'assistant'"
            )
    return [dict(message) for message in messages]


def run(template: str, messages: list[dict[str, str]], variables: Mapping[str, object]) -> str:
    """Render in the sandbox, every failure turned into one line."""
    from jinja2 import TemplateSyntaxError

    from clearhead.text.meter import METER, Meter
    from clearhead.text.sandbox import compiled
    from clearhead.text.template_filters import RefusalError

    size = sum(len(value) for message in messages for value in message.values())
    token = METER.set(Meter(len(messages), size))
    try:
        return compiled(template).render(messages=messages, **variables)
    except TemplateError:
        raise
    except RefusalError as refusal:
        raise TemplateError(f"the chat template refuses these messages: {one_line(refusal)}") from None
    except TemplateSyntaxError as error:
        raise TemplateError(f"the chat template is malformed at line {error.lineno}: {one_line(error)}") from None
    except (RecursionError, MemoryError):
        raise TemplateError("the chat template is nested too deeply; it is damaged or not a chat template") from None
    except Exception as error:
        raise TemplateError(f"the chat template fails: {one_line(error)}") from error
    finally:
        METER.reset(token)


def one_line(error: Exception) -> str:
    """An error's own words, short: they may quote the template."""
    return " ".join(str(error).split())[:120] or type(error).__name__

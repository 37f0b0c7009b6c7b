"""What tests of several views share: hostile words, a view as its page gets it, and that it harms no one."""

import json
import re
from typing import Any

import pytest

from clearhead.lens.payload import Token, unpack
from clearhead.lens.view import View
from clearhead.lens.words import text_of
from clearhead.text.printable import one_line

HOSTILE = "$a$\x1b[31m\u202e\udc80</script>"


def listed(*texts: str, special: tuple[str, ...] = ()) -> list[Token]:
    """Tokens of these texts."""
    return [Token(one_line(text), text, n, text in special) for n, text in enumerate(texts)]


def said(tokens: list[Token], found: list[list[int]]) -> list[str]:
    """What words say."""
    return [text_of(tokens, indices) for indices in found]


def page_of(view: View) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A view's fields, arrays and tokens as a page gets them."""
    whole = json.loads(view.json())
    return whole["views"][0], {name: unpack(a) for name, a in whole["arrays"].items()}, whole["tokens"]


def harmless(view: View) -> None:
    """The view shows itself everywhere, and nothing in it can steer."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", str(view))
    assert max(map(len, str(view).splitlines())) <= 80
    pytest.importorskip("matplotlib")
    assert view.png().startswith(b"\x89PNG") and view.svg().startswith("<?xml")

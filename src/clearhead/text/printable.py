"""Text from outside made safe to show: a prompt, a vocabulary or a file's names must not steer the terminal.

Control characters (C0, DEL and C1, ECMA-48) appear as the escapes that Python would write for them.
"""

import re

PART = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is no UTF-8
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # newline and tab may pass
INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """A text of several lines, its controls escaped; newline and tab stay."""
    return CONTROL.sub(escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """A name, a token or a message: newlines, tabs and all that is invisible or turns the direction escaped too."""
    return INVISIBLE.sub(escape, text)


def escape(match: re.Match[str]) -> str:
    """One character as an escape."""
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    code = ord(match[0])
    return named.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def spelled(data: bytes) -> str:
    """The bytes of one token as a person reads them; those that are no whole character in hexadecimal."""
    text = data.decode(errors="surrogateescape")
    return one_line(PART.sub(lambda match: f"<{ord(match[0]) - 0xDC00:02X}>", text))

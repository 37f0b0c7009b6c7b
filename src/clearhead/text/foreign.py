"""Whatever a library raises over a damaged vocabulary becomes one TokenizerError that names the data at fault."""

from collections.abc import Iterator
from contextlib import contextmanager

from clearhead.errors import ClearheadError, TokenizerError


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Run a library's reader over untrusted data; `what` names the data in the error.

    Raises:
        TokenizerError: the library refused the data, in its own words, cut to one short line.
    """
    try:
        yield
    except (ClearheadError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside `tokenizers` (Rust) derives from BaseException alone
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise TokenizerError(f"{what} cannot be read: {reason}; the file is damaged or of another kind") from error


def utf8(text: str, what: str = "the text") -> bytes:
    """`text` as bytes; `what` names it in the error.

    Raises:
        TokenizerError: the text holds half of a UTF-16 surrogate pair, which is no character and has no bytes.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise TokenizerError(f"{what} holds {half} at {error.start}, half a character; remove or replace it") from None

"""What a Hugging Face folder says about its special tokens beside the vocabulary itself.

Three files may say it: tokenizer_config.json, and in older folders special_tokens_map.json and added_tokens.json. A
token is written as a string, or as an object with the string in "content".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearhead.config import SpecialTokens
from clearhead.errors import TokenizerError
from clearhead.text.foreign import reading, utf8
from clearhead.text.tokenizer import Tokenizer

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LARGEST_FILE = 2**26  # bytes; such a file holds a few thousand tokens at most


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedToken:
    """A token beyond the trained vocabulary, or one of it that is matched whole; `id` None where none is given."""

    content: str
    id: int | None = None
    special: bool = True
    strip_left: bool = False  # swallow the spaces before it
    strip_right: bool = False
    single_word: bool = False
    normalized: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The folder's settings: `roles` maps "bos_token" and its like to pieces, `added` is in the order of ids."""

    config: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    added: tuple[AddedToken, ...] = ()

    @property
    def tokenizer_class(self) -> str:
        """The class transformers would use, without the word Fast; empty when the folder does not say."""
        name = self.config.get("tokenizer_class")
        return name.removesuffix("Fast") if isinstance(name, str) else ""

    def switch(self, name: str) -> bool | None:
        """A yes or no of tokenizer_config.json, None where it is silent.

        Raises:
            TokenizerError: the value is neither.
        """
        value = self.config.get(name)
        if value is not None and not isinstance(value, bool):
            raise TokenizerError(f"tokenizer_config.json: {name} is {str(value)[:40]!r}; it must be true or false")
        return value


def read_settings(folder: Path) -> Settings:
    """The settings of a folder; all empty where it has no such files.

    Raises:
        TokenizerError: a file that is not JSON, or a token that is neither a string nor an object with "content".
    """
    config, mapping = read_object(folder / "tokenizer_config.json"), read_object(folder / "special_tokens_map.json")
    roles = {}
    for role in ROLES:
        token = config.get(role)
        token = mapping.get(role) if token is None else token
        if token is not None:
            roles[role] = parse(token, role).content
    added = {i: parse(t, f"token {i}", i) for i, t in by_id(config.get("added_tokens_decoder")).items()}
    for content, i in read_object(folder / "added_tokens.json").items():
        if isinstance(i, int) and i not in added:
            added[i] = AddedToken(content=content, id=i, special=content in roles.values())
    listed = additional(config) or additional(mapping)
    known = {t.content for t in added.values()}
    extra = [parse(t, "additional_special_tokens") for t in listed]
    ordered = [added[i] for i in sorted(added)] + [t for t in extra if t.content not in known]
    return Settings(config=config, roles=roles, added=tuple(ordered))


def special_tokens(folder: Path, tokenizer: Tokenizer) -> SpecialTokens:
    """Ids of the roles a folder names, as far as `tokenizer` has those pieces.

    Raises:
        TokenizerError: as `read_settings`.
    """
    roles = read_settings(folder).roles

    def of(role: str) -> int | None:
        return tokenizer.token_id(roles[role]) if role in roles else None

    eos = of("eos_token")
    return SpecialTokens(
        bos=of("bos_token"),
        eos=() if eos is None else (eos,),
        pad=of("pad_token"),
        unknown=of("unk_token"),
        mask=of("mask_token"),
    )


def parse(token: Any, where: str, i: int | None = None) -> AddedToken:
    """One token of such a file, in either form."""
    entry = {"content": token} if isinstance(token, str) else token
    content = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(content, str) or not content:
        raise TokenizerError(f"{where} is {str(token)[:40]!r}; a token is a string, or an object with one in 'content'")
    utf8(content, where)
    return AddedToken(
        content=content,
        id=i,
        special=bool(entry.get("special", True)),
        strip_left=bool(entry.get("lstrip", False)),
        strip_right=bool(entry.get("rstrip", False)),
        single_word=bool(entry.get("single_word", False)),
        normalized=bool(entry.get("normalized", False)),
    )


def by_id(entries: Any) -> dict[int, Any]:
    """The object added_tokens_decoder, its keys as whole numbers."""
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise TokenizerError("tokenizer_config.json: added_tokens_decoder is not an object from id to token")
    found = {}
    for key, value in entries.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise TokenizerError(
                f"tokenizer_config.json: added_tokens_decoder has the key {key[:40]!r}, which is no id"
            )
        found[int(key)] = value
    return found


def additional(entries: Mapping[str, Any]) -> list[Any]:
    """The list of special tokens without a role, under its older or its newer name."""
    for name in ("additional_special_tokens", "extra_special_tokens"):
        value = entries.get(name)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return value
    return []


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is no file.

    Raises:
        TokenizerError: not a JSON object, or far too large for one of these files.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > LARGEST_FILE:
        raise TokenizerError(f"{path.name} has {path.stat().st_size} bytes; such a file has at most {LARGEST_FILE}")
    with reading(path.name):
        value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise TokenizerError(f"{path.name} holds {type(value).__name__}, not a JSON object")
    return value

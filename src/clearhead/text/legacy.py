"""The tokenizer of a Hugging Face folder: the best of what it holds, from tokenizer.json down to vocab.txt."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clearhead.errors import TokenizerError
from clearhead.text.fast import FastTokenizer, read_backend
from clearhead.text.paired import read_json_vocabulary
from clearhead.text.pipelines import byte_level_bpe, frame, mark, word_piece
from clearhead.text.pretokenizers import PLAIN, RECIPES
from clearhead.text.settings import Settings, read_settings
from clearhead.text.spm_folders import marian, sentencepiece
from clearhead.text.tokenizer import Tokenizer
from clearhead.text.wordlists import read_merges, read_word_list

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

BPE_CLASSES = ("", "GPT2Tokenizer", "CodeGenTokenizer", "Qwen2Tokenizer", "PreTrainedTokenizer", "TokenizersBackend")
END = "<|endoftext|>"  # GPT-2's one special token, and what its class assumes where a folder is silent


def has_tokenizer(folder: Path) -> bool:
    """Whether `load_tokenizer_folder` finds something to read."""
    return any(all((folder / name).is_file() for name in files) for files in READERS)


def load_tokenizer_folder(folder: Path) -> Tokenizer:
    """The folder's tokenizer, equal to the one transformers makes of it.

    Raises:
        TokenizerError: none of the known sets of files is there, or the first one found is damaged.
    """
    settings = read_settings(folder)
    for files, read in READERS.items():
        if all((folder / name).is_file() for name in files):
            return read(folder, settings)
    sets = ", ".join(" + ".join(files) for files in READERS)
    raise TokenizerError(f"{folder.name} carries no tokenizer; looked for {sets}")


def fast(folder: Path, settings: Settings) -> Tokenizer:
    """tokenizer.json, which also says how texts are framed, then the tokens that tokenizer_config.json adds to it."""
    backend = read_backend(folder / "tokenizer.json")
    amend(backend, settings, settings.roles)
    return FastTokenizer(backend, names=settings.roles)


def gpt2(folder: Path, settings: Settings) -> Tokenizer:
    """GPT-2's two files: a vocabulary and the merges that built it, most frequent first."""
    kind = settings.tokenizer_class
    if kind not in BPE_CLASSES:
        raise TokenizerError(
            f"vocab.json + merges.txt of class {kind!r} is not read; save the folder with tokenizer.json"
        )
    recipe = RECIPES["qwen2"] if kind == "Qwen2Tokenizer" else PLAIN
    backend = byte_level_bpe(read_json_vocabulary(folder / "vocab.json"), read_merges(folder / "merges.txt"), recipe)
    if settings.switch("add_prefix_space"):
        from tokenizers import pre_tokenizers

        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    roles = {"bos_token": END, "eos_token": END, "unk_token": END, **settings.roles}
    amend(backend, settings, roles)
    frame(backend, edge(settings, roles, "bos"), edge(settings, roles, "eos"))
    return FastTokenizer(backend, names=roles)


def bert(folder: Path, settings: Settings) -> Tokenizer:
    """BERT's vocab.txt, one piece a line."""
    usual = {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")}
    roles = {**usual, **settings.roles}
    backend = word_piece(
        read_word_list(folder / "vocab.txt"),
        unknown=roles["unk_token"],
        lowercase=settings.switch("do_lower_case") is not False,
        strip_accents=settings.switch("strip_accents"),
        split_chinese=settings.switch("tokenize_chinese_chars") is not False,
    )
    amend(backend, settings, roles)
    frame(backend, roles["cls_token"], roles["sep_token"])
    return FastTokenizer(backend, names=roles)


def amend(backend: "Backend", settings: Settings, roles: Mapping[str, str]) -> None:
    """Add the tokens that the folder's settings know and the vocabulary's own file does not, in the order of their ids.

    Raises:
        TokenizerError: a token whose id leaves a gap or is taken.
    """
    from tokenizers import AddedToken

    present = {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in settings.added:
        if token.content in present or (token.id is None and backend.token_to_id(token.content) is None):
            continue
        flags = {"lstrip": token.strip_left, "rstrip": token.strip_right, "single_word": token.single_word}
        backend.add_tokens([AddedToken(token.content, special=token.special, normalized=token.normalized, **flags)])
        if token.id not in (None, backend.token_to_id(token.content)):
            raise TokenizerError(
                f"tokenizer_config.json gives {token.content[:40]!r} the id {token.id}; "
                f"in this vocabulary it can only be {backend.token_to_id(token.content)}"
            )
    absent = set(roles.values()) - present - {t.content for t in settings.added}
    mark(backend, special=sorted(t for t in absent if backend.token_to_id(t) is not None), literal=())


def edge(settings: Settings, roles: Mapping[str, str], role: str) -> str | None:
    """The bos or eos token, when tokenizer_config.json has it put around every text."""
    return roles.get(f"{role}_token") if settings.switch(f"add_{role}_token") else None


READERS: dict[tuple[str, ...], Callable[[Path, Settings], Tokenizer]] = {
    ("tokenizer.json",): fast,
    ("source.spm", "target.spm", "vocab.json"): marian,
    ("tokenizer.model",): sentencepiece,
    ("spiece.model",): sentencepiece,
    ("vocab.json", "merges.txt"): gpt2,
    ("vocab.txt",): bert,
}

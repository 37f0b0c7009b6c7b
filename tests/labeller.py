"""A model that labels words by what they are, made by hand: what its entities should be is known of any text.

All layers pass their input on, so a word's state is a function of the word, and the head is the linear map that gives
each word of `LABELS` its label.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from clearhead.checkpoints.export import export
from clearhead.config import SpecialTokens
from clearhead.families.layout import layout
from clearhead.model.executor import TorchExecutor
from models import BY_FAMILY

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = {
    "anna": "B-PER",
    "karenina": "I-PER",
    "new": "B-LOC",
    "york": "I-LOC",
    "sofia": "B-LOC",
    **dict.fromkeys(["the", "went", "to", "and", "saw", "of", ".", ",", "'", "s", "##s", "in"], "O"),
}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def tokenizer() -> Tokenizer:
    """WordPiece over these words, uncased."""
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def write(folder: Path, *, window: int = 32) -> Path:
    """The model's folder; it reads `window` pieces at a time."""
    config = replace(
        BY_FAMILY["bert"],
        vocab_size=len(PIECES),
        max_positions=window,
        head="token_labels",
        head_bias=False,
        labels=LABELS,
    )
    generator = np.random.default_rng(3)
    weights = {}
    for name, shape in layout(config).items():
        passes = "norm" in name and name.endswith("weight")
        weights[name] = np.ones(shape, np.float32) if passes else np.zeros(shape, np.float32)
    weights["embed.tokens.weight"] = generator.standard_normal(layout(config)["embed.tokens.weight"]).astype(np.float32)
    bare = TorchExecutor(replace(config, head="none", labels=()), without_head(weights), "float64", "cpu")
    states = np.concatenate([bare.encode([[i]]).states[0] for i in range(len(PIECES))])
    wanted = np.zeros((len(PIECES), len(LABELS)))
    for i, piece in enumerate(PIECES):
        wanted[i, LABELS.index(WORDS.get(piece, "O"))] = 9.0
    weights["head.projection.weight"] = np.linalg.lstsq(states, wanted, rcond=None)[0].T.astype(np.float32)
    export(folder, config, iter(weights.items()), dtype="float32", special=SpecialTokens(pad=0))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def without_head(weights: dict[str, np.ndarray]):  # type: ignore[no-untyped-def, type-arg]
    """Copies of all weights but the head's."""
    return ((name, array.copy()) for name, array in weights.items() if not name.startswith("head."))

"""Small complete model folders with a real tokenizer each, so that text can go in and come out without a download."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from clearhead.checkpoints.export import export
from clearhead.config import ModelConfig, SpecialTokens
from models import BY_FAMILY, random_weights

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCAB_SIZE = 300


def write(folder: Path, config: ModelConfig, tokenizer: Tokenizer, special: SpecialTokens) -> Path:
    """A folder in Hugging Face layout."""
    export(folder, config, random_weights(config), dtype="float32", special=special)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def byte_level() -> Tokenizer:
    """Byte-level BPE without merges: 256 bytes, three control tokens, and room to spare."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def sized(family: str, **changes: object) -> ModelConfig:
    """The small configuration of a family, with room for this vocabulary."""
    from dataclasses import replace

    return replace(BY_FAMILY[family], vocab_size=VOCAB_SIZE, max_positions=128, **changes)


def gpt2_folder(folder: Path, *, chat: bool = False) -> Path:
    """A decoder; with a chat template where asked."""
    write(folder, sized("gpt2"), byte_level(), SpecialTokens(bos=256, eos=(256, 258), pad=256))
    if chat:
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def t5_folder(folder: Path) -> Path:
    """An encoder and a decoder; sources end with an end-of-text token."""
    tokenizer = byte_level()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 256)]
    )
    return write(folder, sized("t5"), tokenizer, SpecialTokens(eos=(256,), pad=257, decoder_start=257))


def bert_folder(folder: Path) -> Path:
    """An encoder with a masked-word head."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "teacher", "taught", "student", "book", "##s", "with"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    frame = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
    tokenizer.add_special_tokens(words[:5])
    write(folder, sized("bert"), tokenizer, SpecialTokens(pad=0, mask=4, unknown=1))
    names = {
        "mask_token": "[MASK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder

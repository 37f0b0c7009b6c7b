"""A CTranslate2 model gives the same numbers here as in CTranslate2, and a damaged one a clear error."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.ctranslate2 import is_ctranslate2, open_ctranslate2
from clearhead.checkpoints.folder import open_folder
from clearhead.errors import CheckpointError, ClearheadError, ConfigError
from clearhead.model.executor import TorchExecutor
from clearhead.text.piece_model import write_model
from ctranslate2_samples import ONMT_PIECES, PIECES, convert_marian, marian, opennmt, scores

SOURCE, TARGET = ["c", "a", "f", "b"], ["h", "b", "a"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Marian model in Hugging Face layout and in each type CTranslate2 stores, and one of OpenNMT-py."""
    root = tmp_path_factory.mktemp("ct2")
    model = marian(root / "hf")
    for quantisation in ("float32", "float16", "bfloat16", "int8", "int16", "int8_float16"):
        convert_marian(model, root / quantisation, quantisation)
    opennmt(root / "opennmt")
    opennmt(root / "plain", biases=False)
    return root


def log_probs(checkpoint: Checkpoint, source: list[int], target: list[int], end: int) -> np.ndarray:
    """Log-probability of each id of `target`, and of its end, by Clearhead."""
    executor = TorchExecutor(checkpoint.config, checkpoint.weights(), "float32", "cpu")
    assert checkpoint.special.decoder_start is not None
    prefix = [checkpoint.special.decoder_start, *target]
    (logits,) = executor.decode([prefix], memory=executor.encode([source]), want="all")
    logits = logits.astype(np.float64)
    normalised = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return normalised[np.arange(len(prefix)), [*target, end]]


@pytest.mark.parametrize(
    ("name", "pieces", "source"),
    [
        ("float32", PIECES, [*SOURCE, "</s>"]),
        ("int8", PIECES, [*SOURCE, "</s>"]),
        ("opennmt", ONMT_PIECES, SOURCE),
        ("plain", ONMT_PIECES, SOURCE),
    ],
)
def test_scores_equal_those_of_ctranslate2(name: str, pieces: list[str], source: list[str], root: Path) -> None:
    checkpoint = open_ctranslate2(root / name)
    ids = {piece: i for i, piece in enumerate(pieces)}
    ours = log_probs(checkpoint, [ids[p] for p in source], [ids[p] for p in TARGET], ids["</s>"])
    np.testing.assert_allclose(ours, scores(root / name, source, TARGET), atol=2e-5)


def test_float32_weights_equal_those_that_were_converted(root: Path) -> None:
    ours, theirs = open_ctranslate2(root / "float32"), open_folder(root / "hf")
    expected, found = dict(theirs.weights()), dict(ours.weights())
    assert found.keys() == expected.keys()
    bias = "head.projection.bias"
    np.testing.assert_array_equal(found[bias][:-1], expected.pop(bias)[:-1])
    assert found[bias][-1] == -1e4  # the decoder's start is never generated
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert ours.config.position == "sinusoidal"
    assert (ours.special.decoder_start, ours.special.suppressed, ours.special.eos) == (13, (13,), (0,))


@pytest.mark.parametrize(
    ("name", "step"), [("float16", 2**-11), ("bfloat16", 2**-8), ("int16", 2**-10), ("int8", 0.5 / 127)]
)
def test_rounded_weights_are_within_a_step_of_those_that_were_converted(name: str, step: float, root: Path) -> None:
    expected = dict(open_folder(root / "hf").weights())
    for key, array in open_ctranslate2(root / name).weights():
        if key == "head.projection.bias":
            continue
        found, wanted = np.asarray(array, dtype=np.float32), expected[key]
        by_row = name == "int8" and wanted.ndim == 2
        largest = np.abs(wanted).max(axis=-1, keepdims=True) if by_row else np.abs(wanted).max()
        assert (np.abs(found - wanted) <= largest * step * 1.001).all(), key


def test_positions_that_are_no_formula_are_kept_as_a_table(root: Path) -> None:
    checkpoint = open_ctranslate2(root / "opennmt")
    config = checkpoint.config
    assert (config.position, config.max_positions, config.norm_placement, config.tied) == ("learned", 20, "pre", False)
    assert checkpoint.special.decoder_start == ONMT_PIECES.index("<s>")
    assert dict(checkpoint.weights())["embed.positions.weight"][1, :2].tolist() == pytest.approx([np.sin(1), np.cos(1)])


def test_a_head_without_bias_still_never_gives_the_start(root: Path, tmp_path: Path) -> None:
    import transformers as tf

    model = tf.MarianMTModel.from_pretrained(root / "hf")
    model.final_logits_bias.zero_()
    convert_marian(model, tmp_path)
    assert dict(open_ctranslate2(tmp_path).weights())["head.projection.bias"].tolist() == [0.0] * 13 + [-1e4]
    ids = [PIECES.index(p) for p in [*SOURCE, "</s>"]]
    ours = log_probs(open_ctranslate2(tmp_path), ids, [PIECES.index(p) for p in TARGET], 0)
    np.testing.assert_allclose(ours, scores(tmp_path, [*SOURCE, "</s>"], TARGET), atol=2e-5)


def copy(folder: Path, to: Path) -> Path:
    """A folder's files, free to be changed."""
    to.mkdir(exist_ok=True)
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_vocabulary_in_plain_text_is_read(root: Path, tmp_path: Path) -> None:
    folder = copy(root / "float32", tmp_path)
    (folder / "shared_vocabulary.json").unlink()
    (folder / "shared_vocabulary.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    assert open_ctranslate2(folder).special == open_ctranslate2(root / "float32").special


@pytest.mark.parametrize("name", ["float32", "opennmt"])
def test_a_model_from_before_config_json_is_the_same(name: str, root: Path, tmp_path: Path) -> None:
    folder = copy(root / name, tmp_path)
    (folder / "config.json").unlink()
    edit(0, struct.pack("<I", 5))(folder)
    older, newer = open_ctranslate2(folder), open_ctranslate2(root / name)
    assert (older.config, older.special) == (newer.config, newer.special)


def test_sentencepiece_models_beside_it_make_a_tokenizer(root: Path, tmp_path: Path) -> None:
    folder = copy(root / "float32", tmp_path)
    assert open_ctranslate2(folder).tokenizer is None
    # Marian's vocabulary has the pieces with their mark of a word's start.
    (folder / "shared_vocabulary.json").write_text(json.dumps(["</s>", "<unk>", "▁a", "▁b", *"cdefghijk"]))
    pieces = ["<unk>", "<s>", "</s>", "▁a", "▁b", "c"]
    model = write_model(pieces, [0.0, 0.0, 0.0, -1.0, -1.0, -2.0], [2, 3, 3, 1, 1, 1], algorithm="unigram")
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(model)
    checkpoint = open_ctranslate2(folder)
    assert checkpoint.tokenizer is not None
    assert checkpoint.tokenizer().encode("a bc") == [2, 3, 4, 0]
    assert checkpoint.tokenizer().decode([3, 4, 2, 13, 0]) == "bc a"


def test_a_folder_is_told_from_others_by_its_first_bytes(root: Path, tmp_path: Path) -> None:
    assert is_ctranslate2(root / "int8")
    assert not is_ctranslate2(root / "hf")
    (tmp_path / "model.bin").write_bytes(b"PK\x03\x04" + bytes(60))
    assert not is_ctranslate2(tmp_path)


def change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(values | changes))

    return change


def change_switch(key: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """Another value for a variable without dimensions."""

    def change(folder: Path) -> None:
        data, name = (folder / "model.bin").read_bytes(), key.encode() + b"\0\0"
        at = data.index(name) + len(name) + 5
        assert data[at : at + len(old)] == old
        (folder / "model.bin").write_bytes(data[:at] + new + data[at + len(old) :])

    return change


def rename(old: str, new: str) -> Callable[[Path], None]:
    """A variable under another name of the same length."""

    def change(folder: Path) -> None:
        assert len(old) == len(new)
        data = (folder / "model.bin").read_bytes()
        assert old.encode() in data
        (folder / "model.bin").write_bytes(data.replace(old.encode(), new.encode()))

    return change


def write_part(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def edit(at: int, new: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / "model.bin").read_bytes()
        (folder / "model.bin").write_bytes(data[:at] + new + data[at + len(new) :])

    return change


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "config.json"),
    "no weights": (lambda f: (f / "model.bin").unlink(), "model.bin"),
    "no vocabulary": (lambda f: (f / "shared_vocabulary.json").unlink(), "0 pieces, and the embedding has 13 rows"),
    "short vocabulary": (write_part("shared_vocabulary.json", b'["</s>", "a"]'), "2 pieces"),
    "vocabulary of numbers": (write_part("shared_vocabulary.json", b"[1, 2]"), "not a list of strings"),
    "vocabulary that is no JSON": (write_part("shared_vocabulary.json", b"[" * 10**5), "not JSON"),
    "configuration that is a list": (write_part("config.json", b"[]"), "not an object"),
    "configuration that is no text": (write_part("config.json", b"\xff\xfe\xfd"), "not JSON"),
    "end of text unknown": (change_config(eos_token="<eos>"), "no '<eos>' to end a text with"),
    "token that is a number": (change_config(eos_token=7), "eos_token is 7"),
    "negative epsilon": (change_config(layer_norm_epsilon=-1.0), "norm_eps -1.0 must not be negative"),
    "another specification": (rename("TransformerSpec", "TransformerSpeX"), "'TransformerSpeX' is not one"),
    "binary version 7": (edit(0, struct.pack("<I", 7)), "binary version 7"),
    "revision 1": (edit(22, struct.pack("<I", 1)), "revision 1"),
    "more variables than bytes": (edit(26, struct.pack("<I", 60_000)), "number of variables"),
    "unknown activation": (change_switch("encoder/activation", b"\2", b"\6"), "activation is 6 in the encoder"),
    "other heads": (change_switch("encoder/num_heads", b"\2\0", b"\1\0"), "num_heads is 1 in the encoder and 2"),
    "heads that do not divide": (
        lambda f: [change_switch(f"{s}/num_heads", b"\2\0", b"\3\0")(f) for s in ("encoder", "decoder")],
        "8 cannot be divided evenly among 3",
    ),
    "ALiBi": (change_switch("decoder/alibi", b"\0", b"\1"), "decoder/alibi is 1"),
    "unknown switch": (rename("decoder/scale_alibi", "decoder/sliding_win"), "decoder/sliding_win is 0, a switch"),
    "unknown tensor": (rename("encoder/layer_0/ffn/linear_1/bias", "encoder/layer_0/ffn/linear_2/bias"), "unknown"),
    "no positions": (rename("position_encodings/encodings", "position_encodings/encodingX"), "stored as tables"),
    "no layers": (rename("decoder/layer_0/ffn/linear_0/weight", "decoder/layer_9/ffn/linear_0/weight"), "there is no"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_and_what_is_not_computed_are_refused(name: str, root: Path, tmp_path: Path) -> None:
    change, reason = DAMAGE[name]
    folder = copy(root / "float32", tmp_path)
    change(folder)
    with pytest.raises((CheckpointError, ConfigError), match=reason) as raised:
        dict(open_ctranslate2(folder).weights())
    assert "\n" not in str(raised.value)


def test_an_integer_weight_without_scale_is_refused(root: Path, tmp_path: Path) -> None:
    folder = copy(root / "int8", tmp_path)
    rename("decoder/embeddings/weight_scale", "decoder/embeddings/weight_scalX")(folder)
    with pytest.raises(CheckpointError, match="decoder/embeddings/weight_scale: one number, or one a row"):
        open_ctranslate2(folder)


def try_whole(folder: Path) -> bool:
    """Open everything; whether that went well. Anything but a ClearheadError fails the test."""
    try:
        for _ in open_ctranslate2(folder).weights():
            pass
    except ClearheadError as error:
        assert "\n" not in str(error)
        return False
    return True


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_file_cut_anywhere_is_refused(kind: str, root: Path, tmp_path: Path) -> None:
    folder = copy(root / kind, tmp_path)
    data = (folder / "model.bin").read_bytes()
    assert try_whole(folder)
    for length in [*range(600), *range(600, len(data), 97), len(data) - 1]:
        (folder / "model.bin").write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            open_ctranslate2(folder)


def test_a_file_with_flipped_bits_opens_or_fails_cleanly(root: Path, tmp_path: Path) -> None:
    folder = copy(root / "int8", tmp_path)
    data = (folder / "model.bin").read_bytes()
    results = []
    for at in [*range(400), *range(400, len(data), 47)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at * 5 % 8)
        (folder / "model.bin").write_bytes(damaged)
        results.append(try_whole(folder))
    assert results.count(False) > 200


@pytest.mark.weights
def test_opus_mt_scores_equal_those_of_ctranslate2(data: Path, tmp_path: Path) -> None:
    from clearhead.checkpoints.argos import open_argos

    path = data / "opus-mt-zh-en.argosmodel"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {data}")
    checkpoint = open_argos(path)
    assert checkpoint.generation == {"from_code": "zh", "from_name": "Chinese", "to_code": "en", "to_name": "English"}
    assert checkpoint.tokenizer is not None
    tokenizer = checkpoint.tokenizer()
    with ZipFile(path) as package:
        package.extractall(tmp_path, [m for m in package.namelist() if "/model/" in m])
    folder = next(tmp_path.iterdir()) / "model"
    source, target = tokenizer.encode("保加利亚的首都是索非亚。"), "The capital of Bulgaria is Sofia."
    ours = log_probs(checkpoint, source, tokenizer.encode_target(target), 0)
    pieces = tokenizer.pieces(tokenizer.encode_target(target))
    theirs = scores(folder, tokenizer.pieces(source)[:-1], pieces)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert ours.sum() == pytest.approx(theirs.sum(), abs=1e-3)

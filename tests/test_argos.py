"""An Argos Translate package opens in place: by exact names, in proportion, and nothing in it is run or unpacked."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import numpy as np
import pytest

from clearhead.checkpoints.argos import open_argos
from clearhead.checkpoints.ctranslate2 import open_ctranslate2
from clearhead.errors import CheckpointError, ClearheadError
from clearhead.text.piece_model import write_model
from ctranslate2_samples import convert_marian, marian

PIECES = ["</s>", "<unk>", "▁a", "▁b", *"cdefghijk"]
METADATA = {"from_code": "zh", "to_code": "en", "from_name": "Chinese", "package_version": "1.9", "code": ["x"]}
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """What a package holds, by names below its top folder."""
    root = tmp_path_factory.mktemp("argos")
    folder = convert_marian(marian(root / "hf"), root / "model", "int8")
    (folder / "shared_vocabulary.json").write_text(json.dumps(PIECES))
    pieces = ["<unk>", "<s>", "</s>", "▁a", "▁b", "c"]
    model = write_model(pieces, [0.0, 0.0, 0.0, -1.0, -1.0, -2.0], [2, 3, 3, 1, 1, 1], algorithm="unigram")
    parts = {f"model/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return {"metadata.json": json.dumps(METADATA).encode(), "sentencepiece.model": model, **parts}


def pack(path: Path, members: Members, *, top: str = "translate-zh_en/", packing: int = ZIP_DEFLATED) -> Path:
    with ZipFile(path, "w", packing) as package:
        for name, content in members.items():
            package.writestr(top + name, content)
    return path


@pytest.mark.parametrize("packing", [ZIP_DEFLATED, ZIP_STORED])
@pytest.mark.parametrize("top", ["translate-zh_en/", ""])
def test_a_package_opens_as_the_model_in_it(top: str, packing: int, members: Members, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, content in members.items():
        (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    expected = dict(open_ctranslate2(tmp_path / "folder" / "model").weights())
    path = pack(tmp_path / "zh_en.argosmodel", members, top=top, packing=packing)
    for place in (path, tmp_path / "folder"):  # an installed package is the same, unpacked
        checkpoint = open_argos(place)
        found = dict(checkpoint.weights())
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], array) for name, array in expected.items())
        assert checkpoint.generation == {"from_code": "zh", "to_code": "en", "from_name": "Chinese"}
        assert checkpoint.source == place
        assert checkpoint.tokenizer is not None
        assert checkpoint.tokenizer().encode("a bc") == [2, 3, 4, 0]


def test_nothing_is_left_on_the_disk(members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    hostile = {"../outside": b"x", "/etc/outside": b"x", "stanza/tokenize.pt": b"\x80\x02cos\nsystem\n"}
    path = pack(tmp_path / "x.argosmodel", members | hostile)
    before = sorted(tmp_path.rglob("*"))
    for _ in open_argos(path).weights():
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_unpacking_weights_takes_a_few_megabytes_of_memory(members: Members, tmp_path: Path) -> None:
    from clearhead.checkpoints.argos import open_package

    rng = np.random.default_rng(0)
    path = pack(tmp_path / "x.argosmodel", members | {"model/model.bin": rng.bytes(2**25)})
    tracemalloc.start()
    try:
        assert len(open_package(path).map("model/model.bin")) == 2**25
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def without(name: str) -> Callable[[Path, Members], None]:
    return lambda path, members: pack(path, {k: v for k, v in members.items() if k != name}) and None


def having(name: str, content: bytes) -> Callable[[Path, Members], None]:
    return lambda path, members: pack(path, members | {name: content}) and None


def repeated(path: Path, members: Members) -> None:
    pack(path, members)
    with ZipFile(path, "a") as package, pytest.warns(UserWarning, match="Duplicate name"):
        package.writestr("translate-zh_en/metadata.json", b"{}")


def two_tops(path: Path, members: Members) -> None:
    pack(path, members)
    with ZipFile(path, "a") as package:
        package.writestr("other/metadata.json", b"{}")


def many(path: Path, members: Members) -> None:
    pack(path, members | {f"filler/{i}": b"" for i in range(10_001)})


def encrypted(path: Path, members: Members) -> None:
    data = bytearray(pack(path, members).read_bytes())
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:  # the flags of each entry of the directory
        data[at + 8] |= 1
        at += 4
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path, Members], None], str]] = {
    "no zip": (lambda path, members: path.write_bytes(b"PK\x03\x04 and so on") and None, "cannot be unpacked"),
    "empty": (lambda path, members: path.write_bytes(b"") and None, "cannot be unpacked"),
    "no members": (lambda path, members: ZipFile(path, "w").close(), "0 folders have metadata.json"),
    "no metadata": (without("metadata.json"), "0 folders have metadata.json"),
    "metadata deeper down": (lambda path, members: pack(path, members, top="a/b/") and None, "0 folders"),
    "two packages": (two_tops, "2 folders have metadata.json"),
    "repeated member": (repeated, "metadata.json is repeated"),
    "ten thousand members": (many, "10006 members"),
    "metadata that is no JSON": (having("metadata.json", b"{"), "not JSON"),
    "metadata that is a list": (having("metadata.json", b"[]"), "not an object"),
    "no SentencePiece model": (without("sentencepiece.model"), "no sentencepiece.model"),
    "no weights": (without("model/model.bin"), "no model/model.bin"),
    "no configuration": (without("model/config.json"), "no model/config.json"),
    "weights of zeros": (having("model/model.bin", bytes(2**24)), "would unpack from .* refused"),
    "packed otherwise": (lambda path, members: pack(path, members, packing=ZIP_LZMA) and None, "zip it with deflate"),
    "encrypted": (encrypted, "cannot be unpacked: .*encrypted"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_package_out_of_order_is_refused(name: str, members: Members, tmp_path: Path) -> None:
    make, reason = DAMAGE[name]
    make(tmp_path / "x.argosmodel", members)
    with pytest.raises(CheckpointError, match=reason) as raised:
        open_argos(tmp_path / "x.argosmodel")
    assert "\n" not in str(raised.value)


def damaged(data: bytes) -> Iterator[bytes]:
    """A package cut short, and with bits flipped in its directory and headers."""
    yield from (data[:length] for length in range(0, len(data), 131))
    directory = data.index(b"PK\x01\x02")
    for at in [*range(0, 60), *range(directory, len(data), 3)]:
        yield data[:at] + bytes([data[at] ^ 1 << (at % 8)]) + data[at + 1 :]


def test_a_damaged_package_opens_or_fails_cleanly(members: Members, tmp_path: Path) -> None:
    path = pack(tmp_path / "x.argosmodel", members)
    failed = 0
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        try:
            for _ in open_argos(path).weights():
                pass
        except ClearheadError as error:
            assert "\n" not in str(error)
            failed += 1
    assert failed > 100

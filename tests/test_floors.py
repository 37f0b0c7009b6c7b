"""The structure, held by tests: imports go downward, torch stays on its floor, names are public on purpose."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clearhead

SOURCE = Path(clearhead.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
FLOORS = {
    "config": 0,
    "digests": 0,
    "errors": 0,
    "processor": 0,
    "positions": 1,
    "families": 1,
    "text": 1,
    "trees": 1,
    "checkpoints": 2,
    "edits": 2,
    "trace": 2,
    "executor": 2,
    "calls": 2,
    "model": 3,
    "native": 3,
    "recurrent": 3,
    "generation": 4,
    "engine": 5,
    "training": 5,
    "lens": 5,
    "tasks": 6,
    "server": 7,
    "cli": 7,
}
# Packages of one floor that may know each other.
NEIGHBOURS = [
    {"config", "errors"},
    {"families", "positions"},
    {"trace", "executor"},
    {"edits", "trace"},
    {"edits", "executor"},
    {"edits", "calls"},
    {"calls", "executor"},
    {"calls", "trace"},
    {"recurrent", "model"},
    {"model", "native"},
    {"engine", "lens"},
    {"server", "cli"},
]
FILES = sorted(SOURCE.rglob("*.py"))


def package(path: Path) -> str:
    """The top-level part of the package that a file belongs to."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Every module a file imports, at the top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_downward_only(path: Path) -> None:
    if package(path) in ("__init__", "__main__"):
        return
    own = FLOORS[package(path)]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "clearhead" and len(parts) > 1 and parts[1] in FLOORS and parts[1] != package(path):
            assert FLOORS[parts[1]] <= own, f"{path.name} on floor {own} imports {name} from floor {FLOORS[parts[1]]}"
            assert FLOORS[parts[1]] < own or {parts[1], package(path)} in NEIGHBOURS, (
                f"{path.name} imports its neighbour {name}"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_torch_stays_on_its_floor(path: Path) -> None:
    if package(path) not in ("model", "recurrent", "training"):
        assert not {name for name in imported(path) if name.split(".")[0] == "torch"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_pickle_and_no_eval(path: Path) -> None:
    assert not imported(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    calls = [n.func for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert not {f.id for f in calls if isinstance(f, ast.Name)} & {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_registry_asks_for_a_family_by_name(path: Path) -> None:
    """Everything else reads the choices. A page may write its own name; showing it to a person is no question."""
    if package(path) == "families":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare | ast.Match | ast.Subscript):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and n.attr == "family"]
            assert not inner, f"{path.name}:{node.lineno} decides by family"


def test_the_public_names() -> None:
    """A change of surface is a decision: make it here as well."""
    assert sorted(clearhead.__all__) == [
        "Answer",
        "ClearheadError",
        "Code",
        "Completion",
        "Edit",
        "Essay",
        "GenerationConfig",
        "Model",
        "ModelConfig",
        "Summary",
        "Trace",
        "__version__",
        "ablate",
        "ask",
        "classify",
        "code",
        "embed",
        "entities",
        "fill_mask",
        "load",
        "load_tokenizer",
        "parse",
        "patch",
        "pipeline",
        "positional_encoding",
        "steer",
        "summarize",
        "translate",
        "write",
    ]
    assert all(getattr(clearhead, name) is not None for name in clearhead.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, clearhead; print(sorted(set(sys.modules) & set(sys.argv[1].split(','))))"
    heavy = "torch,numpy,fastapi,uvicorn,typer,rich,tokenizers,huggingface_hub,transformers,gguf"
    done = subprocess.run([sys.executable, "-c", code, heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", ["structure.md", "training.md", "scale.md"])
def test_what_pages_name_is_there(page: str) -> None:
    """A folder or a file of the package, named by its path from there: `training/trainer.py`."""
    text = (DOCS / page).read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/])((?:model|training|recurrent|trees|tasks)/[a-z_/]+(?:\.py)?)", text)
    assert [path for path in named if not ((SOURCE / path).exists() or (SOURCE / f"{path}.py").exists())] == []

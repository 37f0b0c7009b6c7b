"""Suites: runs that differ in a few keys, carried out once, in one table and one plot."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clearhead.errors import ConfigError

torch = pytest.importorskip("torch")

from clearhead.training.recipe.suite_file import Suite, bundled_suites, read_suite, recipes, slug  # noqa: E402
from clearhead.training.runs.curves import Curve, Point, compare  # noqa: E402
from clearhead.training.runs.milestones import Milestone, milestones  # noqa: E402
from clearhead.training.runs.preview import model_size  # noqa: E402
from clearhead.training.runs.run import Run  # noqa: E402
from clearhead.training.runs.suite import Line, carry_out, rows_of, table  # noqa: E402
from terminal import invoke  # noqa: E402

TEXT = "The cat sat on the mat. The dog sat on the log. " * 40


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A language model so small that it learns in a moment."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    source = {"kind": "text", "unit": "file", "path": "{folder}/text.txt"}
    keys = {
        "name": "letters",
        "about": "Letters.",
        "task": "causal",
        "folder": str(tmp_path),
        "data": {
            "train": {"sources": [{**source, "part": [0, 0.8]}]},
            "dev": {"sources": [{**source, "part": [0.8, 1]}]},
        },
        "vocabulary": {"kind": "character", "framing": "none", "size": 100},
        "model": {"architecture": "gpt2", "d_model": 16, "d_ff": 32, "n_heads": 2, "n_layers": 1, "max_positions": 16},
        "training": {"steps": 4, "rows": 2, "context": 8, "lr": 0.01},
        "evaluation": {"every": 2},
    }
    path = tmp_path / "letters.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return path


def suite_of(recipe: Path, **keys: Any) -> Suite:
    """Two runs."""
    runs = {"base": {}, "A: wider": {"model.d_model": 32}}
    return Suite.model_validate({"name": "two", "about": "Two.", "recipe": str(recipe), "runs": runs, **keys})


def run_all(suite: Suite, folder: Path, overrides: tuple[str, ...] = ()) -> list[Line]:
    """Everything, on one thread, in silence."""
    return carry_out(suite, folder, lambda place: Run(folder=place, threads=1, resume=True), overrides)


def test_runs_are_carried_out_once_and_compared(tmp_path: Path, recipe: Path) -> None:
    expected = {"A: wider": {"dev_nll": "better"}}
    suite = suite_of(recipe, expected=expected)
    lines = run_all(suite, tmp_path / "runs")
    assert [line.folder.name for line in lines] == ["base", "a-wider"]
    rows = table(suite, lines)
    assert rows[1]["parameters"] > rows[0]["parameters"]
    held = rows[1]["dev_nll"] < rows[0]["dev_nll"]
    assert (rows[0]["agrees"], rows[1]["agrees"]) == ({}, {"dev_nll": held})

    seconds = [line.results["seconds"] for line in lines]
    again = run_all(suite, tmp_path / "runs")
    assert [line.results["seconds"] for line in again] == seconds

    picture = tmp_path / "losses.png"
    compare({line.label: line.folder for line in lines}, picture)
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_bits_per_byte_do_not_depend_on_the_vocabulary(tmp_path: Path, recipe: Path) -> None:
    (line,) = run_all(suite_of(recipe, runs={"base": {}}), tmp_path / "runs")
    # One letter is one byte and one token here, so that both are the same loss in other units.
    assert line.bits_per_byte == pytest.approx(line.results["dev_nll"] / 0.6931471805599453)


def test_rows_of_one_run_serve_the_next(tmp_path: Path, recipe: Path) -> None:
    lines = run_all(suite_of(recipe), tmp_path / "runs")
    files = [line.folder / "data" / "train" / "text.ids" for line in lines]
    assert files[0].samefile(files[1])


def test_a_finished_run_of_another_recipe_is_not_taken_for_this_one(tmp_path: Path, recipe: Path) -> None:
    run_all(suite_of(recipe), tmp_path / "runs")
    with pytest.raises(ConfigError, match="another"):
        run_all(suite_of(recipe), tmp_path / "runs", ("training.lr=0.5",))


def test_more_steps_go_on(tmp_path: Path, recipe: Path) -> None:
    suite = suite_of(recipe, runs={"base": {}})
    run_all(suite, tmp_path / "runs")
    (line,) = run_all(suite, tmp_path / "runs", ("training.steps=6",))
    assert line.results["steps"] == 6
    log = [json.loads(text) for text in (line.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["step"] for entry in log if "dev_nll" in entry] == [2, 4, 6]


@pytest.mark.parametrize("name", bundled_suites())
def test_bundled_suites_hold_together(name: str) -> None:
    suite = read_suite(name)
    made = recipes(suite)
    assert list(made) == list(suite.runs)
    assert len({slug(label) for label in made}) == len(made)
    assert set(suite.expected) <= set(suite.runs)


def test_the_architectures_are_of_one_size() -> None:
    from clearhead.families.layout import count, layout
    from clearhead.recurrent.config import RecurrentConfig
    from clearhead.recurrent.layout import count_parameters
    from clearhead.training.recipe.architectures import configure
    from clearhead.training.tasks.tasks import KINDS

    sizes = {}
    for label, recipe in recipes(read_suite("architectures")).items():
        assert recipe.model is not None
        config = configure(recipe.model, 4096, seq2seq=KINDS[recipe.task].seq2seq)
        recurrent = isinstance(config, RecurrentConfig)
        sizes[label] = count_parameters(config).total if recurrent else count(layout(config))
    assert max(sizes.values()) < 1.02 * min(sizes.values()), sizes


@pytest.mark.parametrize("name", [name for name in bundled_suites() if name.startswith("rivals-")])
def test_rivals_are_of_one_size_and_differ_in_the_model_alone(name: str) -> None:
    found = recipes(read_suite(name))
    sizes = {label: sum((model_size(recipe) or {}).values()) for label, recipe in found.items()}
    assert list(sizes) == ["transformer", "rnn"]
    assert max(sizes.values()) < 1.01 * min(sizes.values()), sizes
    one, other = (recipe.model_copy(update={"name": "", "model": None, "expect": ()}) for recipe in found.values())
    assert one == other and one.evaluation.dev_scores


def curve(label: str, *dev: tuple[float, float, float]) -> Curve:
    """A curve of (seconds, loss, BLEU)."""
    points = [Point(int(10 * s), int(100 * s), s, nll, {"bleu": bleu}) for s, nll, bleu in dev]
    return Curve(label, [], points)


def test_milestones_are_where_each_was_first_as_good_as_the_one_that_came_least_far() -> None:
    fast = curve("fast", (1, 3.0, 5), (2, 2.0, 20), (3, 1.5, 31), (4, 1.8, 30))
    slow = curve("slow", (2, 4.0, 0), (4, 2.2, 25), (6, 2.1, 30), (8, 2.3, 29))
    assert milestones([fast, slow]) == [
        {"dev_nll": Milestone(2.1, 20, 200, 2), "bleu": Milestone(30, 30, 300, 3)},
        {"dev_nll": Milestone(2.1, 60, 600, 6), "bleu": Milestone(30, 60, 600, 6)},
    ]
    plain = Curve("plain", [], [Point(1, 1, 1, 9.0)])
    assert [set(marks) for marks in milestones([fast, plain])] == [{"dev_nll"}] * 2
    assert milestones([fast]) == [{}]
    assert milestones([fast, Curve("none", fast.dev, [])]) == [{}, {}]


def test_runs_that_say_other_tokens_have_no_milestones_in_common(tmp_path: Path, recipe: Path) -> None:
    runs = {"base": {}, "wider": {"model.d_model": 32}, "fewer": {"vocabulary.limit_alphabet": 5}}
    suite = suite_of(recipe, runs=runs)
    rows = {row["run"]: row for row in table(suite, run_all(suite, tmp_path / "runs"))}
    goals = {label: {name: mark["value"] for name, mark in row["reached"].items()} for label, row in rows.items()}
    worst = max(rows[label]["dev_nll"] for label in ("base", "wider"))
    assert goals["base"] == goals["wider"] == {"dev_nll": pytest.approx(worst, abs=1e-4)} and goals["fewer"] == {}
    for label in ("base", "wider"):
        assert 0 < rows[label]["reached"]["dev_nll"]["seconds"] <= rows[label]["seconds"] + 0.1


def test_the_table_says_when_each_run_was_as_good_as_the_other(tmp_path: Path, recipe: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump(suite_of(recipe).model_dump()), encoding="utf-8")
    shared = ("compare", file, "--output", tmp_path / "runs", "--threads", "1", "--device", "cpu")
    table = invoke(*shared)
    assert table.exit_code == 0, table.stderr
    heading, *lines = table.stdout.splitlines()
    assert heading.split()[-3:] == ["reached", "dev", "nll"]
    rows = json.loads(invoke(*shared, "--json").stdout)["runs"]
    for line, row in zip(lines, rows, strict=True):
        mark = row["reached"]["dev_nll"]
        assert line.endswith(f"{mark['value']:.3f} in {mark['seconds']:,.0f} s")
    assert rows[0]["reached"]["dev_nll"]["value"] == rows[1]["reached"]["dev_nll"]["value"]


def test_a_figure_that_there_is_not(tmp_path: Path, recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"no figure 'scores\.test\.bleu'"):
        run_all(suite_of(recipe, figures={"scores.test.bleu": "higher"}), tmp_path / "runs")


def test_a_suite_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="there is no suite 'architecture'; did you mean architectures\\?"):
        read_suite("architecture")


def test_rows_are_lent_only_where_they_would_be_the_same(tmp_path: Path, recipe: Path) -> None:
    found = recipes(suite_of(recipe, runs={"a": {}, "b": {"model.max_positions": 12}, "c": {"model.d_ff": 8}}), ())
    assert rows_of(found["a"]) == rows_of(found["c"]) != rows_of(found["b"])
    based = [
        found["a"].model_copy(update={"base": base, "vocabulary": None, "model": None}) for base in ("one", "other")
    ]
    assert rows_of(based[0]) != rows_of(based[1]), "each has a vocabulary of its own"

"""Parsing as a task of the trainer: treebanks read, a run of some steps, its trees, its scores, its folder."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import clearhead as ch
from clearhead.errors import CheckpointError, ConfigError, DataError
from clearhead.training.data.checks import Checks
from clearhead.training.data.report import Report
from clearhead.training.data.sources import Source, read
from clearhead.training.metrics.trees import readable, tree_scores, well_formed
from clearhead.training.models.bases import language_of, open_base
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.runs.run import Run, train
from clearhead.training.tasks.parsing import files_between, parse, read_treebank, tree_vocabulary
from clearhead.training.tasks.treebanks import to_learn, tree_in
from clearhead.training.vocabulary.vocabulary import VocabularyConfig
from clearhead.trees.brackets import bracketed, read_trees
from clearhead.trees.f1 import score
from clearhead.trees.linear import Scheme
from clearhead.trees.stored import read_scheme, scheme_file
from clearhead.trees.tree import with_tags
from terminal import invoke
from trees import ANNOTATED, GOLD, as_nltk, spoiled

RECIPE = """\
name: tiny-trees
about: Trees for the tests.
task: parsing
folder: data
data:
  train: {sources: [{kind: treebank, path: "{folder}", files: [1, 3]}]}
  dev: {sources: [{kind: treebank, path: "{folder}", files: [4, 4]}]}
  tests: {test: {sources: [{kind: treebank, path: "{folder}", files: [4, 5]}]}}
vocabulary: {kind: bpe, size: 160}
model: {architecture: transformer, d_model: 32, d_ff: 64, n_heads: 2, n_layers: 1, max_positions: 256}
training: {steps: 60, max_tokens: 300, lr: 0.01, schedule: {kind: constant, warmup: 10}}
evaluation: {every: 20, scores: [f1], beams: 2, extra: 60, length_penalty: 0.3}
short: {training.steps: 3}
"""
RNN = ("model.architecture=rnn", "model.n_heads=1", "training.steps=20")
NUMBERED = ("data.trees.numbered=true", "vocabulary.size=400", "training.steps=4")
TAGS = ("data.trees={order: top-down, leaves: tag, spelled: false}", "training.steps=4", "evaluation.beams=1")
SUBJECTS = ("(NP (DT the) (NN moth))", "(NP (NNP Ada))", "(NP (DT the) (JJ old) (NN kettle))", "(NP (PRP it))")
VERBS = ("(VP (VBZ sings))", "(VP (VBZ sees) (NP (DT the) (NN cake)))", "(VP (VBZ sleeps) (PP (IN in) (NP (CD 42))))")


def sentences() -> list[str]:
    """Trees of a small grammar, in the treebank's notation and no order."""
    found = [f"( (S {subject}\n    {verb} (. .)) )\n" for subject in SUBJECTS for verb in VERBS]
    random.Random(1).shuffle(found)
    return found


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, and five numbered files of trees in the folder beside it."""
    folder = tmp_path_factory.mktemp("bank")
    (folder / "data").mkdir()
    for number, some in enumerate(([*sentences()[:4], ANNOTATED], sentences()[4:7], sentences()[7:9]), 1):
        (folder / "data" / f"x_{number:04}.mrg").write_text("".join(some), encoding="utf-8")
    (folder / "data" / "x_0004.mrg").write_text("".join(sentences()[9:11]), encoding="utf-8")
    (folder / "data" / "x_0005.mrg").write_text(sentences()[11], encoding="utf-8")
    (folder / "tiny-trees.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


pytestmark = pytest.mark.usefixtures("threads_kept")


def carry_out(bank: Path, folder: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    recipe = read_recipe(bank / "tiny-trees.yaml", [f"folder={bank / 'data'}", *overrides])
    return train(recipe, Run(folder=folder, threads=1, **options))


@pytest.fixture(scope="module")
def run(bank: Path) -> Path:
    carry_out(bank, bank / "run")
    return bank / "run"


# Treebanks


def source(**keys: Any) -> Any:
    return TypeAdapter(Source).validate_python({"kind": "treebank", **keys})


def records(report: Report | None = None, checks: dict[str, Any] | None = None, **keys: Any) -> list[Any]:
    return list(read(source(**keys), report or Report(), checks=Checks.model_validate(checks or {})))


def test_records_are_the_clean_trees_of_the_files_in_order(bank: Path) -> None:
    report = Report()
    found = records(report, path=str(bank / "data"), files=[1, 4])
    wanted = read_treebank(files_between(bank / "data", 1, 4))
    assert [tree_in(record) for record in found] == wanted and len(wanted) == 11 + len(GOLD)
    assert [list(record) for record in found] == [["tree"]] * len(wanted)
    digests = {path: digest.sha256 for path, digest in report.files.items()}
    assert list(digests) == [str(path) for path in files_between(bank / "data", 1, 4)] and all(digests.values())
    pattern = records(path=str(bank / "data" / "x_000[1-4].mrg"))
    assert pattern == found
    assert records(path=str(bank / "data" / "x_0005.mrg")) == [{"tree": " ".join(sentences()[11].split())[2:-2]}]


def test_the_shared_treebank_is_read_as_it_is_elsewhere(data: Path) -> None:
    found = records(path=str(data / "treebank"), files=[180, 199])
    assert list(map(tree_in, found)) == read_treebank(files_between(data / "treebank", 180, 199))


BAD = {
    "(S (NN a)\n(S (NN b)) x)\n(S (NN c))\n": (["c"], "2", "'x' stands beside other children"),
    "(S (NN a)))\n (NN b)\n(S (NN c))\n": (["a", "c"], "1", "')' stands outside every bracket"),
    "(S (NN a))\n\n(S (NN b)\n  (NN\n": (["a"], "3", "never closed"),
    "(S (NN a\n  b))\n (NN x)\n(S (NN c)) (S (NN d))\n": (["c", "d"], "2", "'b' stands beside"),
    "(S (NN \ud800))\n(S (NN a))\n": (["a"], "1", "is not UTF-8"),
}


@pytest.mark.parametrize("text", BAD)
def test_a_tree_that_cannot_be_read_is_an_error_or_one_drop(text: str, tmp_path: Path) -> None:
    words, line, said = BAD[text]
    path = tmp_path / "t.mrg"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError) as caught:
        records(path=str(path))
    assert str(caught.value).startswith(f"{path}:{line}: ") and "drop" in str(caught.value)
    report = Report()
    drop = {"invalid": "drop", "broken_utf8": "drop"}
    assert [tree_in(r).words for r in records(report, drop, path=str(path))] == [[word] for word in words]
    [drops] = report.sources[str(path)].drops.values()
    assert drops.count == 1 and said in drops.examples[0]
    assert [tree_in(r).words for r in records(checks=drop, path=str(path), limit=1)] == [[words[0]]]


def test_traces_alone_and_trees_without_end_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.mrg"
    path.write_text("( (X (-NONE- *)) )\n(S\n" + " (NN a)\n" * 40 + ")\n(S (NN b))\n", encoding="utf-8")
    report = Report()
    found = records(report, {"endless": "drop", "max_bytes": 100}, path=str(path))
    assert [tree_in(record).words for record in found] == [["b"]]
    drops = report.sources[str(path)].drops
    assert drops["empty"].examples == [f"{path}:1: the tree has no word, only traces"]
    assert "the tree that begins in line 2 has more than 100 characters" in drops["endless"].examples[0]
    assert len(records(path=str(path))) == 2


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"path": "x", "files": [3, 1]}, "files [3, 1] are none"),
        ({"path": "x*", "files": [1, 3]}, "x* may be several"),
        ({"path": "x", "files": [-1, 3]}, "greater than or equal to 0"),
        ({"path": "x", "folder": "y"}, "folder"),
    ],
)
def test_keys_that_name_no_files_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        source(**keys)
    assert said in str(caught.value)


def test_files_that_are_not_there(bank: Path) -> None:
    for keys, said in (
        ({"path": str(bank / "data"), "files": [8, 9]}, "no file numbered 8 to 9"),
        ({"path": str(bank / "data")}, "is a folder; say which of its files"),
        ({"path": str(bank / "data" / "y*")}, "no file has such a name"),
        ({"path": str(bank / "data" / "y")}, "there is no such file"),
    ):
        with pytest.raises(DataError, match=said):
            records(**keys)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"text": "a"}, "has text, and this task reads 'tree'"),
        ({"tree": ["(S", ")"]}, "this task reads 'tree'"),
        ({"tree": "(S (NN a)) (S (NN b))"}, "holds 2 trees"),
        ({"tree": ""}, "holds 0 trees"),
        ({"tree": "(X (-NONE- *))"}, "only traces"),
        ({"tree": "(S (NN a)"}, "never closed"),
    ],
)
def test_a_record_without_a_tree_is_refused(record: Any, said: str) -> None:
    with pytest.raises(DataError, match=said.replace("(", r"\(")):
        tree_in(record)


def test_trees_of_other_kinds_of_sources_are_cleaned() -> None:
    raw = [" ".join(line.split()) for line in ANNOTATED.strip().split("\n\n")]
    assert [tree_in({"tree": bracketed(tree)}) for tree in read_trees("\n".join(raw))] == GOLD


# Vocabulary


def test_a_vocabulary_is_learnt_from_sentences_and_symbols() -> None:
    read_times: list[int] = []

    def again() -> Iterator[dict[str, Any]]:
        read_times.append(1)
        return ({"tree": bracketed(tree)} for tree in GOLD)

    config, texts = to_learn(again, VocabularyConfig(size=300, extra_tokens=("<x>",)), Scheme())
    assert list(texts)[1] == "`` It snows , '' said Ada ."
    assert config.extra_tokens[0] == "<x>" and "<word>" in config.extra_tokens and "<)S+VP>" in config.extra_tokens
    assert len(read_times) == 2
    with pytest.raises(ConfigError, match=r"vocabulary: with the \d+ symbols of the trees, size 20 leaves no room"):
        to_learn(again, VocabularyConfig(size=20), Scheme())


# Runs


def test_a_run_learns_scores_and_writes_trees_over_the_words(bank: Path, run: Path) -> None:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    losses = [json.loads(line).get("dev_nll") for line in (run / "log.jsonl").read_text().splitlines()]
    known = [loss for loss in losses if loss is not None]
    assert known[-1] < known[0] / 1.5 and results["dev_nll"] == pytest.approx(known[-1], abs=1e-3)
    found = results["scores"]["test"]
    gold = read_treebank(files_between(bank / "data", 4, 5))
    said = [next(read_trees(text)) for text in found["trees"]]
    assert found["sentences"] == len(gold) == 3 and found["well_formed"] == 100
    assert [tree.words for tree in said] == [tree.words for tree in gold]
    counts = score(gold, said)
    assert found["f1"] == round(100 * counts.f1, 2) and found["recall"] == round(100 * counts.recall, 2)
    assert "COLLINS.prm" in found["f1_counted"] and "tagging" not in found
    assert found["f1"] > 40


def test_the_folder_opens_again_and_parses_the_same(bank: Path, run: Path) -> None:
    model = ch.load(run / "model", dtype="float32", executor="native")
    trees = tree_vocabulary(model.tokenizer, model.special.eos[0], read_scheme(run / "model"))
    gold = read_treebank(files_between(bank / "data", 4, 5))
    said = parse(model.executor, trees, model.special, [tree.words for tree in gold], beams=2, extra=60)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert list(map(bracketed, said)) == results["scores"]["test"]["trees"]


@pytest.mark.parametrize("overrides", [RNN, TAGS, NUMBERED], ids=["rnn", "tags, not spelled", "numbered"])
def test_other_models_and_other_schemes_write_trees_too(bank: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    results = carry_out(bank, tmp_path / "run", *overrides)
    found = results["scores"]["test"]
    assert (found["sentences"], found["well_formed"]) == (3, 100)
    scheme = read_scheme(tmp_path / "run" / "model")
    assert scheme == read_recipe(tmp_path / "run").data.trees.scheme
    assert ("tagging" in found) == (scheme.leaves == "tag")
    model = ch.load(tmp_path / "run" / "model")
    trees = tree_vocabulary(model.tokenizer, model.special.eos[0], scheme)
    [tree] = parse(model.executor, trees, model.special, [["Ada", "sings", "99", "("]], beams=1)
    assert tree.words == ["Ada", "sings", "99", "("]


def test_a_run_that_was_over_goes_on(bank: Path, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    again = carry_out(bank, copy, resume=True)
    assert again["scores"] == json.loads((run / "results.json").read_text(encoding="utf-8"))["scores"]
    with pytest.raises(ConfigError, match=r"data.trees.order was 'in-order', and is 'top-down'"):
        carry_out(bank, copy, "data.trees.order=top-down", resume=True)


def test_a_parser_learns_on_and_keeps_its_way_of_writing(bank: Path, run: Path, tmp_path: Path) -> None:
    tuned = ("model=null", "vocabulary=null", f"base={run / 'model'}", "training.steps=2")
    assert language_of(open_base(str(run / "model"))).scheme == Scheme(order="in-order")
    results = carry_out(bank, tmp_path / "tuned", *tuned)
    assert results["scores"]["test"]["well_formed"] == 100
    assert read_scheme(tmp_path / "tuned" / "model") == read_scheme(run / "model")
    with pytest.raises(ConfigError, match="and the base writes Scheme"):
        carry_out(bank, tmp_path / "other", *tuned, "data.trees.order=top-down")


def test_words_that_are_cut_anew_are_refused(bank: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.resegment cuts words anew"):
        read_recipe(bank / "tiny-trees.yaml", ["data.resegment=0.1"])
    with pytest.raises(ConfigError, match="there is no score 'bleu' for task parsing; choose from f1"):
        read_recipe(bank / "tiny-trees.yaml", ["evaluation.scores=[bleu]"])


# Scores and folders


def test_scores_are_those_of_the_conventions() -> None:
    rng = random.Random(3)
    said = [with_tags(spoiled(tree, 0.3, rng), ["XX"] * len(tree.words)) for tree in GOLD]
    found = tree_scores(GOLD, said, Scheme(leaves="tag"))
    assert 0 < found["f1"] < 100 and found["tagging"] == 0
    perfect = tree_scores(GOLD, GOLD, Scheme(leaves="tag"))
    assert [perfect[name] for name in ("f1", "precision", "recall", "complete_match", "tagging")] == [100.0] * 5
    assert perfect["crossing_brackets"] == 0


def test_what_is_well_formed() -> None:
    words = ["-LRB-", r"3\/4", "x"]
    assert well_formed("(S (XX -LRB-) (XX 3/4) (NP (XX x)))", words)
    for text in ("(S (XX -LRB-) (XX 3/4) (XX y))", "(S (XX -LRB-) (XX 3/4) (XX x)) (S (XX x))", "(S (XX x)", "", "x"):
        assert not well_formed(text, words)
    assert all(well_formed(bracketed(tree), tree.words) for tree in GOLD)
    assert readable(["(S (XX a))", "(S (XX b))", "(S", "(XX a)"], [["a"]] * 4)["well_formed"] == 50
    assert str(as_nltk(next(read_trees(bracketed(GOLD[0]))))) == str(as_nltk(GOLD[0]))


@pytest.mark.parametrize(
    "scheme", [Scheme(numbered=True), Scheme(order="in-order", leaves="tag", spelled=False)], ids=str
)
def test_a_scheme_is_kept_in_a_file(scheme: Scheme, tmp_path: Path) -> None:
    for name, text in scheme_file(scheme).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_scheme(tmp_path) == scheme


def test_a_file_from_before_words_had_numbers_is_read(tmp_path: Path) -> None:
    (tmp_path / "trees.json").write_text('{"order": "in-order", "leaves": "mark", "spelled": true}', encoding="utf-8")
    assert read_scheme(tmp_path) == Scheme(order="in-order")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "was not trained with task parsing"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "does not say order, leaves, spelled, numbered"),
        ('{"order": "in-order", "leaves": "mark"}', "does not say"),
        (
            '{"order": "upwards", "leaves": "mark", "spelled": true}',
            "order is 'upwards'; it must be one of top-down, in",
        ),
        ('{"order": "in-order", "leaves": ["mark"], "spelled": true}', "leaves is "),
        ('{"order": "in-order", "leaves": "mark", "spelled": 1}', "spelled is 1; it must be one of True, False"),
    ],
)
def test_a_damaged_scheme_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "trees.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=said):
        read_scheme(tmp_path)


# The bundled recipes


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small trees under the numbers that the treebank's files have."""
    folder = tmp_path_factory.mktemp("numbered")
    (folder / "treebank").mkdir()
    for first, some in ((1, [*sentences()[:9], ANNOTATED]), (160, sentences()[9:11]), (180, sentences()[11:])):
        (folder / "treebank" / f"wsj_{first:04}.mrg").write_text("".join(some), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["parse-ptb", "parse-ptb-rnn"])
def test_the_short_forms_run_on_small_trees(name: str, numbered: Path, tmp_path: Path) -> None:
    ask = ["train", name, "--short", "--data", numbered, "--device", "cpu", "--threads", "1"]
    result = invoke(*ask, "--output", tmp_path / "run", "--json", "vocabulary.size=200", "training.steps=3")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["scores"]["test"]
    assert (found["sentences"], found["well_formed"]) == (1, 100)
    shown = invoke(*ask, "--dry-run", "--output", tmp_path / "other")
    assert shown.exit_code == 0 and "(S (NP" in shown.stdout


def test_both_recipes_differ_in_the_model_alone() -> None:
    ours, theirs = (read_recipe(name).model_dump() for name in ("parse-ptb", "parse-ptb-rnn"))
    assert [key for key in ours if ours[key] != theirs[key]] == ["name", "about", "model", "expect"]

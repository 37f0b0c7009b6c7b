"""Recipes: the bundled ones are right, and what is wrong with one is said in a line that names key and value."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from clearhead.errors import ConfigError
from clearhead.training.recipe.complaints import below
from clearhead.training.recipe.recipe import Recipe, bundled, read_recipe, source_of
from clearhead.training.recipe.yaml12 import explain, parse
from clearhead.training.runs.preview import model_size
from training_runs import write_recipe


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipes") / "tiny")


def refused(recipe: str | Path, *overrides: str, short: bool = False) -> str:
    """What is said of a recipe that cannot be."""
    with pytest.raises(ConfigError) as caught:
        read_recipe(recipe, overrides, short=short)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", bundled())
def test_a_bundled_recipe_is_right_and_so_is_its_short_form(name: str) -> None:
    recipe, brief = read_recipe(name), read_recipe(name, short=True)
    assert recipe.name == name
    assert brief.training.steps <= 100 and not brief.expect and not brief.short
    for form in (recipe, brief):
        size = model_size(form, labels=("O", "B-PER") if form.task == "labels" else ())
        assert (size is None) == (form.base is not None)


@pytest.mark.parametrize("name", bundled())
def test_a_bundled_recipe_explains_itself(name: str) -> None:
    text = source_of(name)
    assert text.startswith("# ") and max(map(len, text.splitlines())) <= 130
    assert "{folder}" in text
    assert not unexplained(text)


def unexplained(text: str) -> list[str]:
    """Keys without a comment behind their first use in a group, or right above it."""
    seen = {("name", "name"), ("about", "about")}
    bare = []
    group = above = ""
    for line in text.partition("\nshort:")[0].splitlines():
        key, colon, rest = line.strip(" -").partition(":")
        if colon and key.isidentifier():
            group = group if line.startswith((" ", "-")) else key
            if (group, key) not in seen and " # " not in rest and (not above.strip().startswith("#")):
                bare.append(line)
            seen.add((group, key))
        above = line
    return bare


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("# head\nname: x\nseed: 1\n# so many\nsteps: 2\ntask: a  # b\nshort:\n  lr: 1", ["seed: 1"]),
        ("data:  # a\n  kind: a#b\nmodel:  # b\n  kind: c", ["  kind: a#b", "  kind: c"]),
        ("data:  # a\n  - kind: b  # c\n  - kind: b", []),
    ],
)
def test_a_key_without_a_comment_is_found(text: str, bare: list[str]) -> None:
    assert unexplained(text) == bare


@pytest.mark.parametrize("name", bundled())
def test_yaml_of_another_reader_gives_the_same_recipe(name: str) -> None:
    """Numbers that PyYAML takes for texts aside: it reads version 1.1."""

    def same(ours: Any, theirs: Any) -> bool:
        if isinstance(ours, dict):
            return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
        if isinstance(ours, list):
            return len(ours) == len(theirs) and all(map(same, ours, theirs))
        return bool(ours == (float(theirs) if isinstance(ours, float) else theirs))

    assert same(parse(source_of(name)), yaml.safe_load(source_of(name)))


def every_group(model: type[BaseModel]) -> set[type[BaseModel]]:
    kinds = [kind for field in model.model_fields.values() for _, kind in below(field.annotation)]
    return {model}.union(*map(every_group, kinds))


def test_every_key_of_every_group_is_explained() -> None:
    found = every_group(Recipe)
    assert len(found) > 15
    for group in found:
        for name, field in group.model_fields.items():
            assert field.description or name == "kind", f"{group.__name__}.{name}"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.stepz=3", "training.stepz: there is no such key; did you mean 'training.steps'?"),
        ("training.learning_rate=3", "training.learning_rate: there is no such key; its name here is training.lr"),
        ("batch_size=3", "there is no such key; its name here is training.rows or training.max_tokens"),
        ("lr=3", "lr: there is no such key; did you mean 'training.lr'?"),
        ("data.train.sources.0.path=3", "data.train.sources.0.path: there is no such key"),
        (
            "data.tests={mine: {sources: [{kind: text, path: a}, {kind: text, pth: b}]}}",
            "data.tests.mine.sources.1.pth: there is no such key; did you mean 'data.tests.mine.sources.1.path'?",
        ),
        ("expect=[{what: dev_nll, lo: 1}]", "lo: there is no such key; did you mean 'expect.0.low'?"),
        ("evaluation.language=de", "evaluation.language: there is no such key; did you mean 'data.languages'?"),
        ("data.languages=[en, en]", "languages are both en; give that of the source and that of the target"),
        ("data.languages=[en, 3x]", "give a language by its code of two or three letters, such as de"),
        ("data.languages=en", "data.languages: must be a valid list, not 'en'"),
        ("evaluation.scores=[tokenised_bleu]", "give data.languages, such as [en, de]"),
        ("data.train.source=3", "data.train.source: there is no such key; did you mean 'data.train.sources'?"),
        ("training.steps=many", "training.steps: must be a valid integer, not 'many'"),
        ("training.steps=0", "training.steps: must be greater than or equal to 1, not 0"),
        ("training.lr=.inf", "training.lr: must be a finite number, not inf"),
        ("training.schedule={kind: constant, restarts: [3]}", "restarts are of cosines, and kind is constant"),
        ("training.schedule={kind: cosine, restarts: [3, 2]}", "restarts [3, 2] are out of order"),
        ("training.schedule={kind: cosine, restarts: [12]}", "schedule.restarts has 12, and steps is 12"),
        ("training.betas=[0.5, 1.0]", "training.betas.1: must be less than 1, not 1.0"),
        ("training.betas=[0.5]", "training.betas.1: is missing"),
        ("task=sing", "task: must be 'translation', 'causal'"),
        ("model.n_layers=1.5", "model.n_layers: must be a valid integer, not 1.5"),
        ("model.architecture=null", "model.architecture: must be 'transformer'"),
        ("data.train.sources.0.sauce=3", "sauce: there is no such key; did you mean 'data.train.sources.0.source'?"),
        ("data.train.sources.0.kind=pdf", "data.train.sources.0.kind: must be one of 'parallel', "),
        ("data.train.sources.0.limit=0", "data.train.sources.0.limit: must be greater than or equal to 1, not 0"),
        ("data.train.sources=[]", "data.train.sources: "),
        ("evaluation.scores=[blue]", "evaluation.scores: there is no score 'blue'"),
        ("expect=[{what: dev_nll}]", "expect.0: give low, high, or both"),
        ("expect=[{what: dev_nll, low: 3, high: 2}]", "expect.0: low 3.0 is above high 2.0"),
        ("model=null", "give either base, a model to start from, or model, one to be made new"),
        ("base=gpt2", "give either base"),
        ("vocabulary=null", "vocabulary is missing"),
        ("lora={rank: 4}", "lora changes a loaded model; give base"),
        ("name=A/B", "name: must match pattern"),
        ("seed=true", "seed: must be a valid integer, not True"),
        ("teachers=2", "teachers: must be a group of keys, not 2"),
        ("short=3", "short: must be a valid dictionary, not 3"),
    ],
)
def test_a_wrong_key_or_value_is_named(path: Path, override: str, said: str) -> None:
    message = refused(path, override)
    assert message.startswith(f"{path}: ") and said in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps", "'steps' is no override; write key.sub=value, such as training.steps=100"),
        ("=3", "'=3' is no override"),
        ("training.lr=[", "training.lr: '[' is no YAML"),
        ("training.lr.more=3", "training.lr.more: training.lr is 0.02, which has no key 'more'"),
        ("data.train.sources.4.limit=3", "data.train.sources is a list of 1, which has no item '4'; they count from 0"),
        ("data.train.sources.x.limit=3", "data.train.sources is a list of 1, which has no item 'x'"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(path: Path, override: str, said: str) -> None:
    assert said in refused(path, override)


def test_overrides_set_and_make_keys(path: Path) -> None:
    recipe = read_recipe(
        path, ["training.steps=7", "training.lr=1e-3", "data.train.sources.0.limit=5", "training.betas=[0.8, 0.9]",
               "training.betas.1=0.95", "model.changes.position=learned", "folder=elsewhere", "training.clip=null"]
    )  # fmt: skip
    t = recipe.training
    assert (t.steps, t.lr, t.betas, t.clip) == (7, 1e-3, (0.8, 0.95), None)
    assert recipe.data.train.sources[0].limit == 5
    assert recipe.data.train.sources[0].where == "elsewhere/train.en + elsewhere/train.de"
    assert recipe.model is not None and recipe.model.changes == {"position": "learned"}


def test_a_count_may_be_written_as_a_power_of_ten(path: Path) -> None:
    read = read_recipe(path, ["training.steps=1e3", "evaluation.patience=2.0", "data.train.sources.0.limit=1e2"])
    assert (read.training.steps, read.evaluation.patience) == (1000, 2)
    assert read.data.train.sources[0].limit == 100


def test_the_short_form_comes_before_overrides(path: Path) -> None:
    assert read_recipe(path, short=True).training.steps == 3
    assert read_recipe(path, ["training.steps=4"], short=True).training.steps == 4


def test_a_wrong_short_form_is_refused_even_where_it_is_not_asked_for(path: Path, tmp_path: Path) -> None:
    def write(short: str) -> Path:
        wrong = tmp_path / "wrong.yaml"
        wrong.write_text(
            path.read_text(encoding="utf-8").partition("short:")[0] + f"short: {short}\n", encoding="utf-8"
        )
        return wrong

    assert "its short form, training.steps: must be" in refused(write("{training.steps: none}"))
    assert "short, training.lr.a: training.lr is 0.02" in refused(write("{training.lr.a: 1}"))
    assert "short is [1]; it lists keys" in refused(write("[1]"))
    assert "has no short form" in refused(write("{}"), short=True)


def test_no_such_recipe_names_those_there_are() -> None:
    message = refused("transformer-huge")
    assert message.startswith("there is no recipe 'transformer-huge'; name a file, or one of bert-mlm-tiny, ")


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    assert "cannot be read: No such file" in refused(file)
    file.write_bytes(b"name: \xff\n")
    assert "is not in UTF-8 (byte 6)" in refused(file)
    file.write_text("just words\n")
    assert "holds no keys" in refused(file)
    file.write_text("a: 1\nb: [\n")
    assert "is no YAML: line 3: " in refused(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("1E5", 1e5), ("-.5", -0.5), ("1.", 1.0), ("+3", 3), ("010", 10), ("0o17", 15), ("0x1F", 31),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("True", True), ("false", False), ("~", None), ("", None),
        ("null", None), ("1_000", "1_000"), ("12:30", "12:30"), ("2024-01-02", "2024-01-02"), ("=", "="), ("<<", "<<"),
        (".inf", float("inf")), ("-.INF", float("-inf")), ("'1'", "1"), ("[1, a, {b: 2}]", [1, "a", {"b": 2}]),
        ("!!str 12", "12"), ("!!int 0x10", 16), ("0b1", "0b1"),
    ],
)  # fmt: skip
def test_plain_words_are_those_of_version_1_2(text: str, value: Any) -> None:
    found = parse(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "line 2: the key 'a' stands twice in one group"),
        ("a: &x [1]\nb: *x", "line 2: *x stands for something written elsewhere; write it out"),
        ("&x [*x]", "line 1: *x stands for"),
        ("1: 2", "line 1: the key 1 is no text; put it in quotes"),
        ("? [1]\n: 2", "line 1: the key [1] is no text"),
        ("!!python/object:os.system x", "line 1: tag:yaml.org,2002:python/object:os.system is a type that recipes"),
        ("!!timestamp x", "is a type that recipes have not"),
        ("!!int x", "line 1: 'x' is no int"),
        ("9" * 5000, "is no int"),
        ("[" * 60 + "]" * 60, "more than 50 groups within each other"),
        ("[" * 5000, "more than 50 groups within each other"),
        ("--- 1\n--- 2", "expected a single document"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("\x00", "special characters are not allowed"),
    ],
)
def test_what_a_recipe_never_needs_is_refused(text: str, said: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        parse(text)
    assert said in explain(caught.value) and "\n" not in explain(caught.value)


def test_a_window_is_no_longer_than_what_a_model_reads() -> None:
    with pytest.raises(ConfigError, match=r"training\.context is 128, and the model reads model\.max_positions = 64"):
        read_recipe("gpt-shakespeare-char", ["training.context=128"])


def test_what_is_expected_is_expected_of_the_recipe_as_it_is() -> None:
    assert read_recipe("gpt-shakespeare-char", ["folder=x", "saving.every=7", "training.record=true"]).expect
    assert not read_recipe("gpt-shakespeare-char", ["training.steps=3"]).expect
    own = read_recipe("gpt-shakespeare-char", ["training.steps=3", "expect=[{what: dev_nll, high: 9}]"]).expect
    assert own[0].high == 9
    assert read_recipe("gpt-shakespeare-char", ["expect.0.high=9"]).expect[0].high == 9

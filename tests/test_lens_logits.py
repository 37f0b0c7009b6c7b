"""What a model would say: the logit lens, the choices it made, and a run before and after an edit."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import clearhead as ch
import tiny
from clearhead.config import ModelConfig
from clearhead.edits import Edits, ablate, patch, steer
from clearhead.engine.model import Model
from clearhead.errors import CheckpointError, OptionError, UnsupportedError
from clearhead.lens import likely
from clearhead.lens.before_after import ComparisonView, before_after, divergence
from clearhead.lens.choices import ChoicesView, choices, predicted
from clearhead.lens.likely import top_of
from clearhead.lens.logit_lens import LogitLensView, logit_lens
from clearhead.text.printable import one_line
from clearhead.trace import Trace
from lens_views import harmless, page_of
from models import BY_FAMILY, EXECUTORS, Make, executor

HOSTILE = "$a$\x1b[31m\u202e\udc80</script>"
IDS = [5, 9, 2, 20, 11, 7, 30]
SOURCE = [3, 8, 1]


def run(make: Make, config: ModelConfig, ids: list[int] = IDS, edits: list[Any] | None = None, **kept: Any) -> Trace:
    """A trace of a random model over these ids, as `Model.trace` leaves it."""
    model, trace = make(config), Trace(config, **kept)
    changes = Edits(config, edits) if edits else None
    memory = None
    trace.ids = {"decoder": ids}
    if config.n_encoder_layers:
        source = SOURCE if config.n_decoder_layers else ids
        memory = model.encode([source], trace=trace, edits=changes)
        trace.ids = {"encoder": source} | (trace.ids if config.n_decoder_layers else {})
    if config.n_decoder_layers:
        model.decode([ids], memory=memory, want="all", trace=trace, edits=changes)
    else:
        model.head(memory, trace)
    trace.n_prompt = len(ids)
    for stack, row in trace.ids.items():
        trace.texts[stack] = [f" w{i}" for i in row]
        trace.pieces[stack] = [f"▁w{i}" for i in row]
        trace.special[stack] = [False] * len(row)
    return trace


def loaded(make: Make, config: ModelConfig) -> Model:
    """A model without a vocabulary."""
    return Model(name="random", executor=make(config), checkpoint=SimpleNamespace(tokenizer=None))  # type: ignore[arg-type]


def softmax(logits: Any) -> Any:
    """Over the last axis, in float64."""
    e = np.exp(np.asarray(logits, np.float64) - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# The top of a distribution.


def test_the_top_of_a_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(7, 300)).astype(np.float32) * 4
    logits[2, 5] = logits[2, 9] = 50  # two that are equal
    logits[3, :200] = -np.inf
    whole = top_of(logits, 4)
    p = softmax(logits)
    assert whole.ids[2, :2].tolist() == [5, 9]
    np.testing.assert_allclose(whole.probabilities, np.take_along_axis(p, whole.ids.astype(int), 1), rtol=1e-5)
    np.testing.assert_allclose(whole.probabilities, -np.sort(-p, axis=1)[:, :4], rtol=1e-5)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(p * np.log(p), axis=1)
    np.testing.assert_allclose(whole.entropy, entropy, rtol=1e-5)
    monkeypatch.setattr(likely, "SCORES_AT_ONCE", 700)  # two positions at a time
    parts = top_of(logits, 4)
    assert (parts.ids == whole.ids).all() and (parts.entropy == whole.entropy).all()
    with pytest.raises(CheckpointError):
        top_of(np.full((1, 3), np.nan, np.float32), 1)


def test_divergence() -> None:
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.25, 0.5]])
    expected = 0.5 * np.log(2) - 0.25 * np.log(2)
    assert divergence(np.log(p), np.log(q))[0] == pytest.approx(expected)
    assert divergence(np.log(p), np.log(p))[0] == 0
    never = np.array([[0.0, -np.inf]])
    assert divergence(never, never)[0] == 0


# The logit lens.


@pytest.mark.parametrize("family", BY_FAMILY)
@EXECUTORS
def test_the_last_row_is_what_the_model_says(make: Make, family: str) -> None:
    config = BY_FAMILY[family]
    trace = run(make, config)
    view = logit_lens(trace, loaded(make, config), top=3)
    said = top_of(trace["head.logits"], 3)
    assert (view.tops[-1].ids == said.ids).all()
    np.testing.assert_allclose(view.tops[-1].probabilities, said.probabilities, atol=1e-5)
    np.testing.assert_allclose(view.entropy[-1], said.entropy, atol=1e-4)
    assert view.rows == ["embedding", "layer 0", "layer 1"] and len(view.tops) == 3
    fields, arrays, tokens = page_of(view)
    assert arrays[fields["idsKey"]].shape == arrays[fields["probabilitiesKey"]].shape == (3, len(IDS), 3)
    assert arrays[fields["entropyKey"]].shape == (3, len(IDS)) and len(tokens[fields["list"]]) == len(IDS)
    assert fields["finalIds"] == said.ids[:, 0].tolist()
    assert set(fields["vocabulary"]) == {str(i) for i in np.unique(arrays[fields["idsKey"]])}
    assert fields["vocabulary"][str(said.ids[0, 0])] in (f" w{said.ids[0, 0]}", f"<{said.ids[0, 0]}>")


@EXECUTORS
def test_other_rows_are_other_layers(make: Make) -> None:
    config = BY_FAMILY["llama"]
    trace, model = run(make, config), loaded(make, config)
    view = logit_lens(trace, model, top=2)
    for row, path in enumerate(["decoder.embed.output", "decoder.layers.0.output", "decoder.layers.1.output"]):
        expected = softmax(model.executor.read(trace[path]))
        assert view.at(row, -1)[0].id == int(expected[-1].argmax())
        assert view.at(row, -1)[0].probability == pytest.approx(expected[-1].max(), abs=1e-6)
    first = np.stack([top.ids[:, 0] for top in view.tops])
    for t, row in enumerate(view.settled):
        assert (first[row:, t] == first[-1, t]).all() and (row == 0 or first[row - 1, t] != first[-1, t])


def test_scores_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BY_FAMILY["gpt2"]
    trace, model = run(executor, config), loaded(executor, config)
    whole = logit_lens(trace, model)
    monkeypatch.setattr(likely, "SCORES_AT_ONCE", 2 * config.vocab_size)
    sizes, read = [], model.executor.read
    monkeypatch.setattr(model.executor, "read", lambda states: (sizes.append(len(states)), read(states))[1])
    parts = logit_lens(trace, model)
    assert set(sizes) == {2, 1}
    assert all((a.ids == b.ids).all() for a, b in zip(whole.tops, parts.tops, strict=True))


def test_the_lens_says_what_it_needs() -> None:
    config = BY_FAMILY["llama"]
    model = loaded(executor, config)
    with pytest.raises(OptionError, match=r"decoder\.embed\.output.*kinds that include \"output\""):
        logit_lens(run(executor, config, kinds=["weights", "logits"]), model)
    with pytest.raises(OptionError, match=r"decoder\.layers\.1\.output"):
        logit_lens(run(executor, config, layers=[0]), model)
    assert logit_lens(run(executor, config, layers=[-1]), model).rows == ["embedding", "layer 1"]
    trace = run(executor, config, kinds=["output"])
    with pytest.raises(UnsupportedError, match="needs the model"):
        logit_lens(trace)
    with pytest.raises(OptionError, match="another model"):
        logit_lens(trace, loaded(executor, BY_FAMILY["gpt2"]))
    for top in (0, 32, True):
        with pytest.raises(OptionError, match="top is"):
            logit_lens(trace, model, top=top)
    headless = replace(BY_FAMILY["bert"], head="none", head_bias=False)
    bare = Trace(headless)
    executor(headless).encode([IDS], trace=bare)
    with pytest.raises(UnsupportedError, match="'none'"):
        logit_lens(bare)


# Choices.


@EXECUTORS
def test_choices_of_what_was_written(make: Make) -> None:
    config = BY_FAMILY["gpt2"]
    trace = run(make, config)
    trace.n_prompt = 4
    view = choices(trace, top=3)
    p = softmax(trace["head.logits"])
    assert [c.token for c in view.choices] == [4, 5, 6]
    for c in view.choices:
        before = p[c.token - 1]
        assert c.id == IDS[c.token] and c.text == f" w{c.id}"
        assert c.probability == pytest.approx(before[c.id], abs=1e-6)
        assert c.rank == 1 + int((before > before[c.id]).sum())
        assert c.entropy == pytest.approx(float(-(before * np.log(before)).sum()), abs=1e-4)
        assert [x.id for x in c.top] == np.argsort(-before)[:3].tolist()
    assert view.perplexity == pytest.approx(np.exp(-np.log([p[t - 1, IDS[t]] for t in (4, 5, 6)]).mean()), rel=1e-4)
    fields, _, tokens = page_of(view)
    assert fields["first"] == 4 and fields["rows"][0]["token"] == 4 and len(fields["rows"][0]["top"]) == 3
    assert [token["generated"] for token in tokens[fields["list"]]] == [False] * 4 + [True] * 3


def test_choices_of_what_was_read() -> None:
    trace = run(executor, BY_FAMILY["gpt2"])
    assert [c.token for c in choices(trace).choices] == [1, 2, 3, 4, 5, 6]
    both = run(executor, BY_FAMILY["t5"])
    assert [c.id for c in choices(both).choices] == IDS[1:]
    bert = run(executor, BY_FAMILY["bert"])  # each token where it stands
    view = choices(bert)
    p = softmax(bert["head.logits"])
    assert [c.token for c in view.choices] == list(range(7)) and "mask" in view.note
    assert view.choices[2].probability == pytest.approx(p[2, IDS[2]], abs=1e-6)
    assert predicted(bert) == range(7) and predicted(both) == range(1, 7)
    assert not predicted(run(executor, BY_FAMILY["gpt2"], [5]))
    assert not predicted(run(executor, BY_FAMILY["gpt2"], kinds=["output"]))
    with pytest.raises(OptionError, match="one token"):
        choices(run(executor, BY_FAMILY["gpt2"], [5]))
    with pytest.raises(OptionError, match='"logits"'):
        choices(run(executor, BY_FAMILY["gpt2"], kinds=["output"]))


# Before and after.


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
@EXECUTORS
def test_an_edit_changes_what_follows_it(make: Make, family: str) -> None:
    config = BY_FAMILY[family]
    stack = "encoder" if family == "bert" else "decoder"
    edit = steer(f"{stack}.layers.1.mlp.output", np.arange(24) / 8, positions=[3])
    before, after = run(make, config), run(make, config, edits=[edit])
    view = before_after(before, after, [edit], top=3)
    p, q = softmax(before["head.logits"]), softmax(after["head.logits"])
    np.testing.assert_allclose(view.divergence, (p * np.log(p / q)).sum(-1), atol=1e-5)
    assert view.divergence[3] > 1e-3 and view.most_changed.index == 3
    assert (view.change[0] == 0).all()
    assert np.flatnonzero(view.change[1] > 1e-6).tolist() == [3]  # others are but rounded, as edits are in float32
    moved = after[f"{stack}.layers.1.output"] - before[f"{stack}.layers.1.output"]
    expected = np.linalg.norm(moved[3]) / np.linalg.norm(before[f"{stack}.layers.1.output"][3])
    assert view.change[1, 3] == pytest.approx(expected, rel=1e-5)
    for shift in view.positions[3].shifts:
        assert shift.before == pytest.approx(p[3, shift.id], abs=1e-6)
        assert shift.after == pytest.approx(q[3, shift.id], abs=1e-6)
    listed = {*np.argsort(-p[3])[:3].tolist(), *np.argsort(-q[3])[:3].tolist()}
    assert {s.id for s in view.positions[3].shifts} == listed
    assert view.positions[3].after[0].id == int(q[3].argmax())
    assert list(view.edits) == [edit.description] and view.note == ""
    fields, arrays, _ = page_of(view)
    assert arrays[fields["changeKey"]].shape == (2, 7) and fields["positions"] == list(range(7))
    assert {x["id"] for x in fields["before"][3]} == {x["id"] for x in fields["after"][3]} == listed
    assert "beforeList" not in fields and fields["edits"] == [edit.description]


def test_runs_that_part() -> None:
    config = BY_FAMILY["llama"]
    before, after = run(executor, config), run(executor, config, [5, 9, 2, 21, 11], kinds=["logits", "output"])
    edits = [patch(after, "decoder.layers.0.output"), "another word"]
    view = before_after(before, after, edits)
    assert len(view.positions) == 5 and "token 3" in view.note
    assert (view.divergence[:3] < 1e-12).all() and (view.divergence[3:] > 0).all()
    assert list(view.edits) == ["decoder.layers.0.output from another run", "another word"]
    fields, _, tokens = page_of(view)
    assert [t["id"] for t in tokens[fields["beforeList"]]] == IDS[:5]
    assert [t["id"] for t in tokens[fields["list"]]] == [5, 9, 2, 21, 11]
    bare = before_after(before, run(executor, config, kinds=["logits"]))
    assert bare.rows == [] and bare.change.shape == (0, 7)
    harmless(bare)
    with pytest.raises(OptionError, match="two models"):
        before_after(before, run(executor, BY_FAMILY["gpt2"]))


def test_runs_of_a_model_without_a_head_are_compared_by_layers() -> None:
    config = replace(BY_FAMILY["bert"], head="none", head_bias=False)

    def read(*edits: Any) -> Trace:
        trace = Trace(config)
        executor(config).encode([IDS], trace=trace, edits=Edits(config, list(edits)) if edits else None)
        trace.ids = {"encoder": IDS}
        trace.texts, trace.pieces = ({"encoder": [f" w{i}" for i in IDS]} for _ in range(2))
        trace.special = {"encoder": [False] * len(IDS)}
        return trace

    view = before_after(read(), read(ablate("encoder.layers.0.attention", [1])), ["head 1 off"])
    assert not view.positions and view.change.shape == (2, 7) and view.change.min() > 0
    assert "its layers alone are compared" in view.note
    fields, _, _ = page_of(view)
    assert fields["positions"] == fields["before"] == fields["divergence"] == [] and "beforeList" not in fields
    harmless(view)
    with pytest.raises(OptionError, match="nothing to compare"):
        bare = Trace(config, kinds=["weights"])
        executor(config).encode([IDS], trace=bare)
        bare.ids = {"encoder": IDS}
        before_after(bare, bare)
    with pytest.raises(OptionError, match="after is 'x'"):
        before_after(bare, "x")  # type: ignore[arg-type]


def test_runs_that_agree_are_drawn_on_a_scale_of_their_own() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    trace, figure = run(executor, BY_FAMILY["llama"]), Figure()
    view = before_after(trace, trace)
    assert view.divergence.max() == 0
    view.draw(figure)
    divergence_axes = next(axes for axes in figure.axes if axes.get_ylabel() == "KL, nats")
    assert divergence_axes.get_ylim() == (0, 0.01)
    assert any("square root" in axes.get_ylabel() for axes in figure.axes)  # of the layers' colours, as on a page
    assert "(square root)" in str(view)


def test_drawings_say_what_their_colours_and_frames_are() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    config = BY_FAMILY["llama"]
    trace, figure = run(executor, config), Figure()
    logit_lens(trace, loaded(executor, config)).draw(figure)
    assert "framed: the same token as the last layer" in figure.axes[0].get_title(loc="left")
    assert any(axes.get_ylabel() == "probability" for axes in figure.axes)
    made = choices(trace)
    assert "entropy" in made.svg() and "nats" in made.svg() and "nats" in str(made)


def test_figures_are_plain_data() -> None:
    config = BY_FAMILY["gpt2"]
    trace = run(executor, config)
    lens = logit_lens(trace, loaded(executor, config), top=2).figures
    assert [layer["name"] for layer in lens["layers"]] == ["embedding", "layer 0", "layer 1"]
    assert lens["layers"][-1]["likely"][3][0]["id"] == int(trace["head.logits"][3].argmax())
    made = choices(trace, top=2)
    assert made.figures["choices"][0] == made.choices[0].row() and made.figures["perplexity"] == made.perplexity
    changed = before_after(trace, trace, ["nothing"]).figures
    assert changed["positions"][2]["before"] == changed["positions"][2]["after"]
    assert changed["layers"][1] == {"name": "layer 1", "change": [0.0] * 7} and changed["edits"] == ["nothing"]


# Everywhere.


def test_hostile_texts_are_harmless() -> None:
    config = BY_FAMILY["llama"]
    trace = run(executor, config)
    for stack in trace.texts:
        trace.texts[stack] = [one_line(HOSTILE)] * len(IDS)
        trace.pieces[stack] = [HOSTILE] * len(IDS)
    other = run(executor, config, edits=[ablate("decoder.layers.0.attention", [0])])
    views = [logit_lens(trace, loaded(executor, config)), choices(trace), before_after(trace, other, [HOSTILE])]
    for view in views:
        harmless(view)
        assert "\u202e" not in view.json() and "</script>" not in json.dumps(page_of(view)[1], default=str)


def test_with_a_vocabulary(tmp_path: Any) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "m"), executor="native")
    trace = model.trace("The teacher", max_new_tokens=3, kinds=["output", "logits"])
    lens, made = logit_lens(trace), choices(trace)
    assert isinstance(lens, LogitLensView) and isinstance(made, ChoicesView)
    assert made.choices[0].rank == 1 and made.choices[0].id == made.choices[0].top[0].id == trace.tokens[11]
    assert lens.at(-1, 10)[0].id == trace.tokens[11]
    assert lens.spell(model.tokenizer.encode("q")[0]) == "q"  # which the text does not have
    edit = ablate("decoder.layers.*.attention", [0, 1, 2])
    view = before_after(trace, model.trace("The teacher", max_new_tokens=3, edits=[edit]), [edit])
    assert isinstance(view, ComparisonView) and view.divergence.max() > 0
    for shown in (lens, made, view):
        harmless(shown)

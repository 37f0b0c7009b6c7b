"""Gradients of the torch executor: held to finite differences in every family, to completeness, to its own logits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clearhead as ch
import tiny
from clearhead.config import ModelConfig
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.executor import Differentiable
from clearhead.lens.attributing import attribution, noted
from clearhead.lens.influencing import influence
from clearhead.lens.reading import Asked
from clearhead.model import gradients
from clearhead.model.gradients import Vectors
from models import BY_FAMILY, executor, native

FAMILIES = list(BY_FAMILY)
IDS, SOURCE, TARGET = [5, 9, 2, 20, 11], [3, 8, 1, 17], 13
PADDED = [*range(3, 29)]  # more tokens than one block of influence


def ids_of(config: ModelConfig) -> dict[Any, list[int]]:
    """What each stack reads."""
    read = {"encoder": SOURCE if config.kind == "encoder-decoder" else IDS, "decoder": IDS}
    return {stack: read[stack] for stack in ("encoder", "decoder") if getattr(config, f"n_{stack}_layers")}


def source_of(config: ModelConfig) -> list[int] | None:
    """What an encoder beside a decoder reads."""
    return SOURCE if config.kind == "encoder-decoder" else None


def attribute(config: ModelConfig, **options: Any) -> tuple[dict[str, Any], float]:
    """Scores of the small model of a configuration."""
    return executor(config).attribute(IDS, TARGET, source=source_of(config), **options)


def score(config: ModelConfig, vectors: Vectors, at: int = -1, of: str = "logit") -> float:
    """The output that is explained, for one row of token vectors."""
    with torch.no_grad():
        rows: Vectors = {stack: x[None] for stack, x in vectors.items()}
        return float(gradients.output(executor(config).model, rows, TARGET, at, of))


def own_vectors(config: ModelConfig) -> Vectors:
    """The token vectors of what each stack reads."""
    return {stack: x.clone() for stack, x in gradients.token_vectors(executor(config).model, ids_of(config)).items()}


def test_the_protocol_tells_executors_apart() -> None:
    assert isinstance(executor(BY_FAMILY["llama"]), Differentiable)
    assert not isinstance(native(BY_FAMILY["llama"]), Differentiable)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pass_with_gradients_is_the_pass_without(family: str) -> None:
    config = BY_FAMILY[family]
    model = executor(config)
    if config.kind == "encoder":
        expected = model.head(model.encode([IDS]))[0]
    else:
        source = source_of(config)
        memory = None if source is None else model.encode([source])
        expected = model.decode([IDS], memory=memory, want="all")[0]
    for at in (0, 2, -1):
        assert score(config, own_vectors(config), at) == pytest.approx(expected[at, TARGET], abs=1e-12)
        logprobs = expected[at] - np.log(np.exp(expected[at]).sum())
        assert score(config, own_vectors(config), at, "logprob") == pytest.approx(logprobs[TARGET], abs=1e-12)


@pytest.mark.parametrize("of", ["logit", "logprob"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_times_input_is_the_slope_along_the_input(family: str, of: str) -> None:
    """A token's score is how fast the output changes as its vector grows in its own direction."""
    config = BY_FAMILY[family]
    found, _ = attribute(config, method="gradient", of=of)
    step = 1e-6
    for stack, vectors in own_vectors(config).items():
        for t in range(len(vectors)):
            sides = []
            for factor in (1 + step, 1 - step):
                moved = own_vectors(config)
                moved[stack][t] *= factor
                sides.append(score(config, moved, of=of))
            assert found[stack][t] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients_add_up(family: str) -> None:
    config = BY_FAMILY[family]
    found, whole = attribute(config, steps=400, of="logit")
    assert {stack: len(scores) for stack, scores in found.items()} == {s: len(i) for s, i in ids_of(config).items()}
    vectors = own_vectors(config)
    baseline = {stack: torch.zeros_like(x) for stack, x in vectors.items()}
    for stack, held in (("decoder", 0), ("encoder", -1)):  # tokens that stay as they are
        if stack in found:
            baseline[stack][held] = vectors[stack][held]
            assert found[stack][held] == 0
    assert whole == pytest.approx(score(config, vectors) - score(config, baseline), abs=1e-12)
    total = sum(float(scores.sum()) for scores in found.values())
    assert total == pytest.approx(whole, abs=0.02 * max(1, abs(whole)))
    coarse, _ = attribute(config, steps=2, of="logit")
    gap = abs(sum(float(scores.sum()) for scores in coarse.values()) - whole)
    assert abs(total - whole) < gap  # more steps come closer


def test_points_do_not_depend_on_how_they_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BY_FAMILY["transformer"]
    whole, _ = attribute(config, steps=7)
    monkeypatch.setattr(gradients, "TOKENS_AT_ONCE", 20)
    parts, _ = attribute(config, steps=7)
    for stack in whole:
        np.testing.assert_allclose(parts[stack], whole[stack], rtol=1e-10, atol=1e-12)


def test_the_quadrature_integrates_polynomials() -> None:
    points, weights = gradients.path(200)
    for power in range(4):
        assert float((weights * points**power).sum()) == pytest.approx(1 / (power + 1), rel=1e-4)


def test_one_token_of_a_decoder_has_a_score() -> None:
    model = executor(BY_FAMILY["gpt2"])
    found, whole = model.attribute([5], TARGET, steps=200)
    assert whole != 0 and found["decoder"][0] == pytest.approx(whole, rel=0.02)


def jacobian(config: ModelConfig, stack: Any, ids: Sequence[int], step: float = 1e-6) -> Any:
    """[T, T] the norm of the Jacobian, by finite differences."""
    model = executor(config).model
    own = gradients.token_vectors(model, {stack: list(ids)})[stack]
    T, C = own.shape
    squares = np.zeros((T, T))
    with torch.no_grad():
        for s in range(T):
            directions = torch.zeros(2 * C, T, C, dtype=own.dtype)
            directions[:C, s] = torch.eye(C) * step
            directions[C:, s] = -torch.eye(C) * step
            context = gradients.ForwardContext(stack=stack)
            h = gradients.through(getattr(model, stack), model.embed, own + directions, context)
            squares[:, s] = ((h[:C] - h[C:]) / (2 * step)).square().sum(dim=(0, 2)).numpy()
    return np.sqrt(squares)


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_influence_is_the_norm_of_the_jacobian(family: str) -> None:
    config = BY_FAMILY[family]
    found = executor(config).influence(IDS, probes=None)
    stack = "encoder" if config.n_encoder_layers else "decoder"
    np.testing.assert_allclose(found, jacobian(config, stack, IDS), rtol=1e-5, atol=1e-8)
    if stack == "decoder":
        assert (np.triu(found, 1) == 0).all()
    assert (np.diagonal(found) > 0).all()


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_blocks_and_probes_of_influence(family: str) -> None:
    model = executor(BY_FAMILY[family])
    exact = model.influence(PADDED, probes=None)
    assert len(PADDED) > gradients.BLOCK
    few, again = model.influence(PADDED, probes=1), model.influence(PADDED, probes=1)
    assert (few == again).all()
    many = model.influence(PADDED, probes=40)
    shown = exact > 0
    error = {n: np.abs(m[shown] / exact[shown] - 1).mean() for n, m in ((1, few), (40, many))}
    assert error[40] < 0.1 < 0.5 and error[40] < error[1] < 0.6
    assert (few[~shown] == 0).all()


def test_whatever_mode_the_caller_is_in() -> None:
    model = executor(BY_FAMILY["gpt2"])
    expected, _ = model.attribute(IDS, TARGET, steps=3)
    with torch.inference_mode():
        inside, _ = model.attribute(IDS, TARGET, steps=3)
        shape = model.influence(IDS).shape
    with torch.no_grad():
        without, _ = model.attribute(IDS, TARGET, steps=3)
    assert (inside["decoder"] == expected["decoder"]).all() and (without["decoder"] == expected["decoder"]).all()
    assert shape == (5, 5)
    assert not any(p.requires_grad or p.grad is not None for p in model.model.parameters())


def test_wrong_calls_are_refused() -> None:
    model, both = executor(BY_FAMILY["gpt2"]), executor(BY_FAMILY["t5"])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"target": 31}, "target is 31"),
        ({"target": 3, "at": 5}, "at is 5"),
        ({"target": 3, "steps": 0}, "steps is 0"),
        ({"target": 3, "method": "magic"}, "magic"),
        ({"target": 3, "of": "magic"}, "magic"),
        ({"target": 3, "source": SOURCE}, "memory"),
    ]
    for options, said in wrong:
        with pytest.raises(OptionError, match=said):
            model.attribute(IDS, **options)
    with pytest.raises(OptionError, match="memory"):
        both.attribute(IDS, 3)
    with pytest.raises(OptionError, match="at least one"):
        model.attribute([], 3)
    with pytest.raises(OptionError, match="probes is 0"):
        model.influence(IDS, probes=0)
    with pytest.raises(ContextWindowError):
        model.influence([3] * 33)
    with pytest.raises(UnsupportedError, match="too coarse"):
        executor(BY_FAMILY["gpt2"], "bfloat16").attribute(IDS, 3)
    headless = executor(replace(BY_FAMILY["bert"], head="none", head_bias=False))
    with pytest.raises(UnsupportedError, match="'none'"):
        headless.attribute(IDS, 3)
    assert headless.influence(IDS).shape == (5, 5)


# As pictures.


def test_attribution_of_a_decoder(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "m", chat=True), executor="torch")
    view = attribution(model, "teacher", steps=8)
    ids = model.tokenizer.encode("teacher")
    logits = model.logits(ids)[-1]
    assert view.target.id == int(logits.argmax()) and [t.id for t in view.tokens] == ids
    assert view.target.probability == pytest.approx(float(np.exp(logits - logits.max()).sum() ** -1), rel=1e-5)
    expected, whole = model.executor.attribute(ids, view.target.id, steps=8)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(view.scores, expected["decoder"])
    assert f"differs by {whole:.3f}" in view.note
    named = attribution(model, "teacher", "q", method="gradient", of="logit")
    assert named.target.text == "q" and named.target.id == model.tokenizer.encode("q")[0]
    assert "of the logit" in named.note
    assert attribution(model, "teacher", 7, steps=1).target.id == 7
    assert len(attribution(model, "teacher", at=2, steps=1).tokens) == 7
    assert not attribution(model, "teacher", at=2, method="gradient").scores[3:].any()
    for text, options, said in [
        ("teacher", {"target": "qq"}, "not one token"),
        ("teacher", {"target": -1}, "ids are 0"),
    ]:
        with pytest.raises(OptionError, match=said):
            attribution(model, text, **options)
    with pytest.raises(OptionError, match="said is for"):
        attribution(model, "teacher", said="a")
    with pytest.raises(OptionError, match="at is 7"):
        attribution(model, "teacher", at=7)


def test_a_sum_that_misses_what_it_stands_for_is_said() -> None:
    asked = Asked(tokens=IDS, source=None, at=4)
    assert "more steps" in noted(asked, "integrated", "logit", 6.0, 10.0)
    assert "more steps" not in noted(asked, "integrated", "logit", 9.5, 10.0)
    assert "add up" not in noted(asked, "gradient", "logit", 6.0, 10.0)


def test_attribution_beside_an_encoder(tmp_path: Path) -> None:
    model = ch.load(tiny.t5_folder(tmp_path / "m"), executor="torch")
    view = attribution(model, "abc", said="de", steps=2)
    assert [t.text for t in view.tokens] == ["a", "b", "c", "<|endoftext|>", "<|im_start|>", "d", "e"]
    assert "first 4 tokens are the source" in view.note
    assert [t.text for t in attribution(model, "abc", steps=2).tokens][4:] == ["<|im_start|>"]
    assert influence(model, "abc").matrices[model.name].shape == (4, 4)


def test_attribution_of_a_mask(tmp_path: Path) -> None:
    model = ch.load(tiny.bert_folder(tmp_path / "m"), executor="torch")
    view = attribution(model, "the teacher [MASK] the book", "taught", steps=2)
    assert view.target.text.strip() == "taught" and len(view.tokens) == 7
    ids = model.tokenizer.encode("the teacher [MASK] the book")
    logits = model.logits(ids)[3]
    assert view.target.probability == pytest.approx(float(np.exp(logits[7]) / np.exp(logits).sum()), rel=1e-4)
    with pytest.raises(OptionError, match="no mask"):
        attribution(model, "the teacher")
    with pytest.raises(OptionError, match="masks at 1, 2"):
        attribution(model, "[MASK] [MASK]")
    assert attribution(model, "[MASK] [MASK]", at=2, steps=1).target.id >= 0


def test_influence_beside_others(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "m"), executor="torch")
    view = influence(model, "book", others={"RNN": np.ones((4, 4))})
    assert list(view.matrices) == [model.name, "RNN"] and len(view.tokens) == 4
    assert (view.matrices[model.name] == model.executor.influence(model.tokenizer.encode("book"))).all()  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="RNN"):
        influence(model, "book", others={"RNN": np.ones((3, 3))})


def test_another_executor_has_no_gradients(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "m"), executor="native")
    for asked in (attribution, influence):
        with pytest.raises(UnsupportedError, match='load the model with executor="torch"'):
            asked(model, "book")

"""Whole generations equal transformers' on tiny random models: greedy, beams, log-probabilities, scores, masks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.generation.beam import beam_search
from clearhead.generation.fill_mask import fill_likeliest_first, fill_mask
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.generation.score import perplexity, score_continuations, score_sequences
from mock_executor import MockExecutor, MockMemory, fixed, random_logits, scripted, tiny_config

torch.set_num_threads(1)
V, EOS, PAD = 15, 1, 0
SPECIAL = SpecialTokens(eos=(EOS,), pad=PAD, mask=2, decoder_start=PAD)
ENDS = (1, 3, 4, 6)
PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14]]
SIZES = {"vocab_size": V, "eos_token_id": EOS, "pad_token_id": PAD, "bos_token_id": 2, "tie_word_embeddings": False}


@dataclass(kw_only=True)
class Oracle(MockExecutor):
    """A transformers model behind the mock's caches of ids: it reads each whole sequence again for every token."""

    model: Any = None

    def feed(self, row, new, source, want):
        row += new
        if not row:
            return np.zeros((0, V), np.float32)
        ids = {"decoder_input_ids": torch.tensor([row]), "input_ids": torch.tensor([source])}
        with torch.no_grad():
            out = self.model(**(ids if source else {"input_ids": torch.tensor([row])})).logits[0].numpy()
        return out[-1:] if want == "last" else out[len(row) - len(new) :]

    def head(self, memory: MockMemory, trace=None):
        with torch.no_grad():
            return [self.model(input_ids=torch.tensor([s])).logits[0].numpy() for s in memory.sources]


def redrawn(executor, seed):
    """With new weights, wide enough for sequences to differ and to end."""
    generator = torch.Generator().manual_seed(seed)
    for weight in executor.model.parameters():
        torch.nn.init.normal_(weight, std=0.4, generator=generator)
    return executor


def wrapped(model, kind, **choices):
    model.eval()
    if model.can_generate():
        model.generation_config.forced_eos_token_id = None
    return redrawn(Oracle(tiny_config(V, 64, kind, **choices), None, model=model), 0)


@pytest.fixture(scope="module")
def gpt2():
    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **SIZES)
    return wrapped(transformers.GPT2LMHeadModel(config), "decoder")


@pytest.fixture(scope="module")
def t5():
    sizes = {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_heads": 2, "num_layers": 1, "decoder_start_token_id": PAD}
    return wrapped(transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, **SIZES)), "encoder-decoder")


@pytest.fixture(scope="module")
def marian():
    layers = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in (("layers", 1), ("ffn_dim", 16))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "d_model": 16, "decoder_start_token_id": PAD}
    config = transformers.MarianConfig(**layers, **heads, **SIZES, max_position_embeddings=64)
    return wrapped(transformers.MarianMTModel(config), "encoder-decoder")


def theirs(executor, ids, **options):
    """New tokens without padding, and scores, of transformers' own generate for one prompt or source."""
    options = {
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "return_dict_in_generate": True,
        "output_scores": True,
    } | options
    inputs = torch.tensor([ids])
    out = executor.model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, **options)
    start = len(ids) if executor.config.kind == "decoder" else 1
    return [trimmed(row[start:].tolist(), options["eos_token_id"]) for row in out.sequences], out


def trimmed(tokens, eos):
    ends = [i for i, t in enumerate(tokens) if t in (eos if isinstance(eos, list) else [eos])]
    return tuple(tokens[: ends[0] + 1] if ends else tokens)


def ours(executor, sources, config, special=SPECIAL, run=generate):
    if executor.config.kind == "decoder":
        return run(executor, sources, config, special)
    prompts, memory = encode_sources(executor, sources, special)
    return run(executor, prompts, config, special, memory=memory)


@pytest.mark.parametrize("family", ["gpt2", "t5", "marian"])
@pytest.mark.parametrize(
    "options",
    [{}, {"repetition_penalty": 1.4}, {"min_new_tokens": 9}, {"repetition_penalty": 0.8, "min_new_tokens": 4}],
)
def test_greedy_equals_transformers(family, options, request):
    executor = redrawn(request.getfixturevalue(family), 2)
    done = ours(executor, PROMPTS, GenerationConfig(max_new_tokens=14, **options))
    for source, [one] in zip(PROMPTS, done, strict=True):
        [tokens], _ = theirs(executor, source, max_new_tokens=14, **options)
        assert one.tokens == tokens


@pytest.mark.parametrize("family", ["gpt2", "t5", "marian"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, -1.0])
def test_beams_equal_transformers(family, length_penalty, early_stopping, request):
    executor = redrawn(request.getfixturevalue(family), 24)
    rules = {"length_penalty": length_penalty, "early_stopping": early_stopping, "max_new_tokens": 12}
    done = ours(executor, PROMPTS, GenerationConfig(beams=4, n=4, **rules), SpecialTokens(eos=ENDS, decoder_start=PAD))
    ends = {one.finish_reason for group in done for one in group}
    assert "stop" in ends
    for source, group in zip(PROMPTS, done, strict=True):
        options = {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": list(ENDS)} | rules
        tokens, out = theirs(executor, source, **options)
        assert [one.tokens for one in group] == tokens
        np.testing.assert_allclose([one.score for one in group], out.sequences_scores.numpy(), rtol=1e-4)
        assert [one.finish_reason for one in group] == ["stop" if t[-1] in ENDS else "length" for t in tokens]


class MockLM(transformers.PreTrainedModel, transformers.GenerationMixin):
    """The mock's logits behind transformers' own generate."""

    main_input_name = "input_ids"
    _supports_cache_class = False

    def __init__(self, executor):
        super().__init__(transformers.PretrainedConfig(vocab_size=executor.config.vocab_size, is_decoder=True))
        self.executor = executor
        self.anything = torch.nn.Parameter(torch.zeros(1))

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **_):
        return {"input_ids": input_ids}

    def forward(self, input_ids, attention_mask=None, return_dict=True):
        rows = [self.executor.logits(tuple(row), ()) for row in input_ids.tolist()]
        return transformers.modeling_outputs.CausalLMOutput(logits=torch.tensor(np.stack(rows))[:, None])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.3, 1.0, 3.0]),
    st.integers(2, 5),
    st.sampled_from([0.0, 0.6, 1.0, 2.0, -1.0]),
    st.booleans(),
    st.sampled_from([(1,), (1, 4), (2, 5, 7, 8)]),
    st.sampled_from([0, 2, 4]),
    st.fixed_dictionaries(
        {"max_new_tokens": st.integers(1, 12)},
        optional={"min_new_tokens": st.just(1), "repetition_penalty": st.sampled_from([0.8, 1.5])},
    ),
)
def test_any_beam_search_equals_transformers(seed, scale, beams, penalty, early, ends, boost, options):
    free = random_logits(25, seed, order=99, scale=scale)  # of the whole history: no two paths score exactly the same
    urge = np.where(np.isin(range(25), ends), np.float32(boost), 0)  # to end
    executor = MockExecutor(tiny_config(25), lambda ids, source: free(ids, source) + urge)
    rules = {"length_penalty": penalty, "early_stopping": early} | options
    config = GenerationConfig(beams=beams, n=beams, **rules)
    [group] = generate(executor, [[3, 9]], config, SpecialTokens(eos=ends))
    [alone, _] = generate(executor, [[3, 9], [4]], config, SpecialTokens(eos=ends))
    assert alone == group
    rules |= {"num_beams": beams, "num_return_sequences": beams, "eos_token_id": list(ends), "use_cache": False}
    out = MockLM(executor).generate(
        torch.tensor([[3, 9]]),
        attention_mask=torch.ones(1, 2),
        pad_token_id=0,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **rules,
    )
    np.testing.assert_allclose([one.score for one in group], out.sequences_scores.numpy(), rtol=1e-4, atol=1e-4)
    assert [one.tokens for one in group] == [trimmed(row[2:].tolist(), list(ends)) for row in out.sequences]


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_one_beam_is_greedy(family, request):
    executor = request.getfixturevalue(family)
    for options in (
        {},
        {"min_new_tokens": 5},
        {"logit_bias": {4: 1.0}, "presence_penalty": 0.5},
        {"length_penalty": -2.0},
    ):
        config = GenerationConfig(max_new_tokens=14, logprobs=1, **options)
        for [beam], [plain] in zip(
            ours(executor, PROMPTS, config, run=beam_search), ours(executor, PROMPTS, config), strict=True
        ):
            assert (beam.tokens, beam.finish_reason) == (plain.tokens, plain.finish_reason)
            np.testing.assert_allclose(beam.logprobs, plain.logprobs, atol=1e-5)
            assert [a[0][0] for a in beam.alternatives] == [a[0][0] for a in plain.alternatives]


def test_one_beam_ends_with_greedy_where_ending_and_going_on_are_equally_likely():
    executor = MockExecutor(tiny_config(3), fixed([1.0, 1.0, -5.0]))
    config = GenerationConfig(max_new_tokens=9, length_penalty=2.0)  # going on would score better
    for run in (generate, beam_search):
        [[done]] = run(executor, [[1]], config, SpecialTokens(eos=(0,)))
        assert done.tokens == (0,)


def test_a_beam_scores_the_sum_of_its_log_probabilities_over_its_length():
    executor = MockExecutor(tiny_config(), random_logits(17))
    config = GenerationConfig(beams=4, n=4, max_new_tokens=9, logprobs=0, length_penalty=0.7, prompt_logprobs=True)
    [group, other] = generate(executor, [[1, 2], [3]], config, SpecialTokens(eos=(0,)))
    for one in group:
        assert one.score == pytest.approx(one.cumulative_logprob / len(one.tokens) ** 0.7)
    assert [one.score for one in group] == sorted((one.score for one in group), reverse=True)
    assert len({one.tokens for one in group}) == 4
    assert len(group[0].prompt_logprobs) == 2
    assert other[0].prompt_logprobs == (None,)


def exhaustive(executor, prompt, length):
    """Every sequence of a length with its log-probability."""
    paths = {(): 0.0}
    for _ in range(length):
        paths = {
            (*path, t): total + p
            for path, total in paths.items()
            for t, p in enumerate(torch.tensor(executor.logits((*prompt, *path), ())).double().log_softmax(-1).tolist())
        }
    return sorted(paths, key=paths.get, reverse=True)


def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_sequences():
    executor = MockExecutor(tiny_config(5), random_logits(5, order=2))
    [group] = generate(executor, [[1]], GenerationConfig(beams=25, n=10, max_new_tokens=3), SpecialTokens())
    assert [one.tokens for one in group] == exhaustive(executor, [1], 3)[:10]


def test_fewer_sequences_than_beams_may_exist():
    executor = MockExecutor(tiny_config(2), random_logits(2))
    [group] = generate(executor, [[1]], GenerationConfig(beams=8, n=8, max_new_tokens=1), SpecialTokens())
    assert sorted(one.tokens for one in group) == [(0,), (1,)]


def test_finished_searches_leave_the_batch():
    executor = MockExecutor(
        tiny_config(), scripted(17, {1: 0, 2: 3, 3: 4, 4: 5, 5: 0, 0: 0} | {i: 0 for i in range(6, 17)})
    )
    config = GenerationConfig(beams=2, max_new_tokens=20)
    [[a], [b]] = generate(executor, [[1], [2]], config, SpecialTokens(eos=(0,)))
    assert (a.tokens, b.tokens) == ((0,), (3, 4, 5, 0))
    assert len(executor.calls[1]) > len(executor.calls[-1]) == 2


def test_a_cancelled_search_gives_the_best_so_far():
    executor = MockExecutor(tiny_config(), random_logits(17))
    config = GenerationConfig(beams=3, n=3, max_new_tokens=30)
    [group] = generate(executor, [[1, 2]], config, SpecialTokens(), cancelled=lambda: len(executor.calls) >= 5)
    assert len(executor.calls) == 5
    assert [(len(one.tokens), one.finish_reason) for one in group] == [(5, "cancelled")] * 3


def test_beams_honour_the_callers_stop_and_the_window():
    executor = MockExecutor(tiny_config(max_positions=6), random_logits(17))
    config = GenerationConfig(beams=3, n=3)
    [group, [full]] = generate(executor, [[1, 2], [1] * 6], config, SpecialTokens())
    assert {(len(one.tokens), one.finish_reason) for one in group} == {(4, "length")}
    assert (full.tokens, full.finish_reason) == ((), "length")
    stop = lambda prompt, rank, ids: len(ids) == 2
    [group] = generate(executor, [[1, 2]], config, SpecialTokens(), stop=stop)
    assert {(len(one.tokens), one.finish_reason, one.end_token) for one in group} == {(2, "stop", None)}


@pytest.mark.parametrize("budget", [1, 4, 500])
def test_scores_equal_transformers_log_softmax(gpt2, t5, budget):
    for i, row in enumerate(score_sequences(gpt2, PROMPTS, budget=budget)):
        ids = torch.tensor([PROMPTS[i]])
        expected = gpt2.model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        assert row[0] is None
        np.testing.assert_allclose(row[1:], expected.detach().numpy(), atol=1e-5)
    _, memory = encode_sources(t5, PROMPTS, SPECIAL)
    for source, row in zip(
        PROMPTS, score_sequences(t5, [[PAD, 4, 5, EOS]] * 3, memory=memory, budget=budget), strict=True
    ):
        logits = t5.model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[PAD, 4, 5, EOS]])).logits
        expected = logits.log_softmax(-1)[0, [0, 1, 2], [4, 5, EOS]]
        np.testing.assert_allclose(row[1:], expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("budget", [1, 4, 500])
def test_continuations_score_as_the_end_of_the_whole_sequence(gpt2, t5, budget):
    continuations = [[[3], [4, 5, 6]], [], [[7, 8], [7, 9], [1]]]
    scores = score_continuations(gpt2, PROMPTS, continuations, budget=budget)
    for prompt, group, mine in zip(PROMPTS, continuations, scores, strict=True):
        for ids, one in zip(group, mine, strict=True):
            [whole] = score_sequences(gpt2, [[*prompt, *ids]])
            np.testing.assert_allclose(one, whole[len(prompt) :], atol=1e-5)
    prompts, memory = encode_sources(t5, PROMPTS[:2], SPECIAL)
    [[one], [two]] = score_continuations(t5, prompts, [[[3, EOS]], [[3, EOS]]], memory=memory, budget=budget)
    [_, whole] = score_sequences(t5, [[PAD, 3, EOS]] * 2, memory=memory)
    np.testing.assert_allclose(two, whole[1:], atol=1e-5)
    assert one != two


def test_a_prompt_is_read_once_for_all_its_continuations():
    executor = MockExecutor(tiny_config(), random_logits(17))
    score_continuations(executor, [[1, 2, 3, 4]], [[[5], [6, 7], [8]]])
    assert executor.calls == [[3], [1, 2, 1]]


def test_scores_refuse_what_they_cannot_score():
    executor = MockExecutor(tiny_config(max_positions=4), random_logits(17))
    with pytest.raises(OptionError, match="a continuation of prompt 0 is empty"):
        score_continuations(executor, [[1]], [[[]]])
    with pytest.raises(ContextWindowError, match="5 tokens and the context window holds 4"):
        score_continuations(executor, [[1, 2, 3]], [[[1, 2]]])
    with pytest.raises(OptionError, match="2 prompts and continuations for 1"):
        score_continuations(executor, [[1], [2]], [[[1]]])


def test_perplexity_of_a_uniform_model_is_its_vocabulary():
    executor = MockExecutor(tiny_config(), lambda ids, source: np.zeros(17, np.float32))
    [row] = score_sequences(executor, [[1, 2, 3]])
    assert perplexity(row) == pytest.approx(17)
    assert np.isnan(perplexity([None]))


@pytest.fixture(scope="module")
def bert():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return wrapped(transformers.BertForMaskedLM(transformers.BertConfig(**sizes, vocab_size=V)), "encoder", head="mlm")


def test_masks_are_filled_as_transformers_fills_them(bert):
    rows = [[5, 2, 6], [2, 7, 8, 2, 9]]
    for row, masks in zip(rows, fill_mask(bert, rows, SPECIAL, top=4), strict=True):
        assert [m.position for m in masks] == [i for i, t in enumerate(row) if t == 2]
        probabilities = bert.model(input_ids=torch.tensor([row])).logits[0].softmax(-1)
        for m in masks:
            expected = probabilities[m.position].topk(4)
            assert [t for t, _ in m.candidates] == expected.indices.tolist()
            np.testing.assert_allclose([p for _, p in m.candidates], expected.values.detach().numpy(), rtol=1e-4)


def test_filling_all_masks_takes_the_surest_first(bert):
    row = [2, 7, 8, 2, 9]
    [masks] = fill_mask(bert, [row], SPECIAL, top=1)
    surest = max(masks, key=lambda m: m.candidates[0][1])
    once = [surest.candidates[0][0] if i == surest.position else t for i, t in enumerate(row)]
    [[last]] = fill_mask(bert, [once], SPECIAL, top=1)
    expected = [last.candidates[0][0] if i == last.position else t for i, t in enumerate(once)]
    assert fill_likeliest_first(bert, row, SPECIAL) == expected


def test_only_a_masked_language_model_fills_masks(bert, gpt2):
    with pytest.raises(UnsupportedError, match="not made to fill masks"):
        fill_mask(gpt2, [[2]], SPECIAL)
    with pytest.raises(UnsupportedError, match="no mask token"):
        fill_mask(bert, [[2]], SpecialTokens())
    with pytest.raises(OptionError, match="row 1 has no mask"):
        fill_mask(bert, [[2], [3]], SPECIAL)
    for top in (0, -1, V + 1, 1.5, True):
        with pytest.raises(OptionError, match="top is"):
            fill_mask(bert, [[2]], SPECIAL, top=top)
    with pytest.raises(OptionError, match="no row"):
        fill_mask(bert, [], SPECIAL)

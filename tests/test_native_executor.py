"""The native executor against the torch one, on every instruction set of this machine; and its own stronger promise:
a row's numbers are the same bits alone, in any batch, in pieces, traced or not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import ModelConfig
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.model.executor import TorchExecutor
from clearhead.native import _native
from clearhead.native.executor import PASS_TOKENS, NativeExecutor, default_kv
from clearhead.native.packing import pack_weights
from clearhead.trace import Trace
from models import BY_FAMILY, executor, native, random_weights

SETS = _native.instruction_sets()
DECODERS = [name for name, config in BY_FAMILY.items() if config.kind != "encoder"]
LONG = replace(BY_FAMILY["llama"], max_positions=2048)
MANY = [[int(i) * 7 % 31 for i in range(n)] for n in (97, 3, 64)]  # so many that weights are turned into bfloat16 first
ROWS = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 26], [int(i) % 31 for i in range(32)]]


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, against the largest value."""
    assert ours.shape == theirs.shape
    hidden = np.isneginf(theirs)  # in a score bias
    assert np.array_equal(np.isneginf(ours), hidden)
    ours, theirs = np.where(hidden, 0, ours), np.where(hidden, 0, theirs)
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)) if ours.size else 0.0


def relative_norm(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The norm of the difference, against theirs."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def sources(config: ModelConfig, rows: list[list[int]]) -> list[list[int]] | None:
    """What the encoder reads beside each row of the decoder."""
    return [row[::-1] for row in rows] if config.kind == "encoder-decoder" else None


def decoded(model: object, rows: list[list[int]], **options: object) -> list[np.ndarray]:
    """All logits of whole rows."""
    read = sources(model.config, rows)
    memory = None if read is None else model.encode(read)
    return model.decode(rows, memory=memory, want="all", **options)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("family", BY_FAMILY)
def test_float32_is_what_torch_computes(family: str, instruction_set: str) -> None:
    config = BY_FAMILY[family]
    ours, theirs = native(config, "float32", instruction_set), executor(config)
    if config.kind == "encoder":
        memory, expected = ours.encode(ROWS), theirs.encode(ROWS)
        pairs = list(zip(memory.states, expected.states, strict=True))
        pairs += list(zip(ours.head(memory), theirs.head(expected), strict=True))
    else:
        pairs = list(zip(decoded(ours, ROWS), decoded(theirs, ROWS), strict=True))
    assert max(relative(a, b) for a, b in pairs) < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("family", DECODERS)
def test_pieces_and_batches_give_the_same_bits(family: str, instruction_set: str, dtype: str) -> None:
    model = native(BY_FAMILY[family], dtype, instruction_set)
    whole = decoded(model, ROWS)
    alone = [decoded(model, [row])[0] for row in ROWS]
    read = sources(model.config, ROWS)
    memory = None if read is None else model.encode(read)
    cache, seen = model.new_cache(len(ROWS), 32), [[np.zeros((0, 31), np.float32)] for _ in ROWS]
    for first, last in ((0, 1), (1, 2), (2, 7), (7, 20), (20, 32)):
        step = [row[first:last] for row in ROWS]
        for parts, logits in zip(seen, model.decode(step, cache, memory, want="all"), strict=True):
            parts.append(logits)
    for together, single, parts in zip(whole, alone, seen, strict=True):
        assert np.array_equal(together, single)
        assert np.array_equal(together, np.concatenate(parts))


def unpacked(config: ModelConfig, dtype: str) -> TorchExecutor:
    """torch on the very weights that packing left, as floats: what then differs is how activations are rounded."""
    packed = pack_weights(config, random_weights(config), dtype)
    weights = dict(packed.arrays)
    for name, matrix in packed.matrices.items():
        form = matrix.format
        rows = np.empty((matrix.rows, -(-matrix.columns // 64) * 64), np.float32)
        for row in range(matrix.rows):
            shape = form.name, form.minima, matrix.rows, matrix.columns, form.group
            _native.unpack(*shape, matrix.data, row, rows[row])
        weights[name] = rows[:, : matrix.columns]
    return TorchExecutor(config, weights.items(), "float64", "cpu")


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("family", BY_FAMILY)
def test_reduced_weights_compute_what_they_stand_for(family: str, instruction_set: str) -> None:
    config = replace(BY_FAMILY[family], max_positions=128)
    for dtype in ("bfloat16", "int8", "int4"):
        ours, theirs = native(config, dtype, instruction_set), unpacked(config, dtype)
        for rows, distance in ((ROWS, relative), (MANY, relative_norm)):
            if config.kind == "encoder":
                apart = max(map(distance, ours.encode(rows).states, theirs.encode(rows).states))
            else:
                apart = max(map(distance, decoded(ours, rows), decoded(theirs, rows)))
            assert 0 < apart < 0.04, (dtype, len(rows))


@pytest.mark.parametrize("instruction_set", SETS)
def test_the_whole_numbers_of_int8_are_the_same_on_every_machine(instruction_set: str) -> None:
    ours, reference = (native(BY_FAMILY["gpt2"], "int8", each, kv="float16") for each in (instruction_set, "portable"))
    assert max(map(relative, decoded(ours, ROWS), decoded(reference, ROWS))) < 1e-3


@pytest.mark.parametrize("kv", ["float16", "bfloat16", "int8"])
def test_keys_and_values_in_fewer_bits(kv: str) -> None:
    exact = decoded(native(BY_FAMILY["llama"]), ROWS)
    assert 0 < max(map(relative, decoded(native(BY_FAMILY["llama"], kv=kv), ROWS), exact)) < 0.05


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads: int) -> None:
    rows = [*ROWS, [7] * 11]
    for family in DECODERS:
        for a, b in zip(
            decoded(native(BY_FAMILY[family]), rows),
            decoded(native(BY_FAMILY[family], threads=threads), rows),
            strict=True,
        ):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_a_trace_is_torch_s_and_changes_no_bit(family: str) -> None:
    config, row = BY_FAMILY[family], ROWS[1]
    for run in (executor(config), native(config)):
        trace = Trace(config)
        if config.kind == "encoder":
            memory = run.encode([row], trace=trace)
            result = run.head(memory, trace)[0]
        else:
            memory = None if config.kind == "decoder" else run.encode([row[::-1]], trace=trace)
            [result] = run.decode([row], memory=memory, want="all", trace=trace)
        if run is executor(config):
            expected = trace
    assert trace.arrays.keys() == expected.arrays.keys()
    apart = {path: relative(array, expected.arrays[path]) for path, array in trace.arrays.items()}
    assert max(apart.values()) < 1e-5, max(apart, key=apart.__getitem__)
    plain = native(config).head(native(config).encode([row]))[0] if config.kind == "encoder" else decoded(run, [row])[0]
    assert np.array_equal(plain, result)


def test_a_trace_of_some_layers_heads_and_kinds() -> None:
    config = BY_FAMILY["llama"]
    chosen, everything = Trace(config, layers=[1], heads=[4, 2], kinds=["weights"]), Trace(config)
    for trace in (chosen, everything):
        native(config).decode([ROWS[1]], trace=trace)
    assert list(chosen.arrays) == ["decoder.layers.1.attention.weights"]
    assert np.array_equal(
        chosen["decoder.layers.1.attention.weights"], everything["decoder.layers.1.attention.weights"][[2, 4]]
    )


def test_a_trace_while_decoding_sees_all_keys() -> None:
    model, trace = native(BY_FAMILY["bloom"]), Trace(BY_FAMILY["bloom"], kinds=["weights", "key"])
    cache = model.new_cache(1, 32)
    model.decode([ROWS[2][:20]], cache)
    model.decode([ROWS[2][20:21]], cache, trace=trace)
    weights = trace["decoder.layers.0.attention.weights"]
    assert weights.shape == (6, 1, 21) and np.allclose(weights.sum(-1), 1, atol=1e-6)
    assert trace["decoder.layers.0.attention.key"].shape == (6, 21, 4)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=3))
@settings(max_examples=10, deadline=None)
def test_long_prompts_in_several_passes(lengths: list[int]) -> None:
    rows = [[(7 * i + n) % 31 for i in range(n)] for n in lengths]
    model = native(LONG)
    assert PASS_TOKENS < 700
    last = model.decode(rows, model.new_cache(len(rows), 800))
    for row, logits in zip(rows, last, strict=True):
        [whole] = model.decode([row], want="all", trace=Trace(LONG, kinds=["tokens"]))
        assert np.array_equal(logits[0], whole[-1])


def test_attention_in_parts_is_attention() -> None:
    row = [(11 * i) % 31 for i in range(1500)]  # three parts of keys, and several threads to a head when decoding
    model = native(LONG)
    [whole] = model.decode([row], want="all")
    [expected] = executor(LONG, "float32").decode([row], want="all")
    assert relative(whole, expected) < 1e-4
    cache = model.new_cache(1, 1500)
    model.decode([row[:-1]], cache)
    assert np.array_equal(model.decode([row[-1:]], cache)[0][0], whole[-1])


@pytest.mark.parametrize("kv", ["float32", "bfloat16", "float16", "int8"])
@pytest.mark.parametrize("instruction_set", SETS)
def test_weights_of_several_parts_of_keys(instruction_set: str, kv: str) -> None:
    """Two parts, the last page not full; read in pieces that meet where the parts do not."""
    row = [(11 * i) % 31 for i in range(603)]
    model, seen, expected = (
        native(LONG, "float32", instruction_set, kv=kv),
        Trace(LONG, kinds=["weights"]),
        Trace(LONG, kinds=["weights"]),
    )
    cache = model.new_cache(1, 603)
    for first, last in ((0, 500), (500, 530), (530, 602)):
        model.decode([row[first:last]], cache)
    model.decode([row[602:]], cache, trace=seen)
    executor(LONG, "float32").decode([row], trace=expected)
    for path, weights in seen.arrays.items():
        assert np.allclose(weights.sum(-1), 1, atol=1e-5)
        assert relative(weights[:, 0], expected.arrays[path][:, 602]) < (1e-4 if kv == "float32" else 0.05)


@pytest.mark.parametrize("instruction_set", SETS)
def test_a_part_of_keys_that_a_token_does_not_see_cannot_spoil_it(instruction_set: str) -> None:
    weights = dict(random_weights(LONG))
    weights["embed.tokens.weight"][30] = np.nan
    packed = pack_weights(LONG, weights.items(), "float32")
    model = NativeExecutor(LONG, packed, "float32", threads=2, instruction_set=instruction_set)
    row = [i % 30 for i in range(600)]
    row[590] = 30
    cache = model.new_cache(1, 600)
    model.decode([row[:500]], cache)
    [logits] = model.decode([row[500:]], cache, want="all")
    assert np.isfinite(logits[:12]).all() and np.isnan(logits[90:]).all()


def test_rows_share_pages_until_they_part() -> None:
    model, row = native(BY_FAMILY["llama"]), ROWS[2][:20]
    cache = model.new_cache(1, 32)
    model.decode([row], cache)
    cache.select([0, 0, 0])
    first, second, third = cache.pages
    assert first == second == third and len(first) == 2
    after = model.decode([[1], [2], []], cache)
    first, second, third = cache.pages
    assert first[0] == second[0] == third[0]  # full, and still everybody's
    assert len({first[1], second[1], third[1]}) == 3 or first[1] != second[1]
    for logits, token in zip(after[:2], (1, 2), strict=True):
        assert np.array_equal(logits[0], decoded(model, [[*row, token]])[0][-1])


def test_rows_begin_with_others_and_join() -> None:
    model, row = native(BY_FAMILY["qwen2"]), ROWS[2]
    whole = decoded(model, [row])[0]
    read, fresh = model.new_cache(1, 32), model.new_cache(2, 32)
    model.decode([row[:25]], read)
    fresh.adopt(1, read, 0, 18)
    assert fresh.lengths == [0, 18]
    assert np.array_equal(model.decode([[], row[18:]], fresh)[1][0], whole[-1])
    assert np.array_equal(model.decode([row[25:]], read)[0][0], whole[-1])  # the other row is as it was
    read.truncate([25])
    fresh.join(read)
    assert fresh.lengths == [0, 32, 25]
    assert np.array_equal(model.decode([[], [], row[25:]], fresh)[2][0], whole[-1])


# Sizes at the edges of strips (128 columns), pages of memory and groups of 64 and 128.
WIDE = {
    "gated": replace(
        BY_FAMILY["llama"], d_model=256, d_ff=296, n_heads=8, n_kv_heads=4, head_dim=32, max_positions=256
    ),
    "plain": replace(BY_FAMILY["gpt2"], d_model=128, d_ff=384, n_heads=4, n_kv_heads=4, head_dim=32, max_positions=256),
    "encoder": replace(
        BY_FAMILY["bert"], d_model=256, d_ff=200, n_heads=8, n_kv_heads=8, head_dim=32, max_positions=256
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", WIDE)
def test_an_mlp_taken_apart_gives_the_same_bits(name: str, instruction_set: str, dtype: str) -> None:
    model, row = native(WIDE[name], dtype, instruction_set, threads=3), [(5 * i) % 31 for i in range(95)]
    traced = Trace(model.config, kinds=["mlp.hidden"])  # which the fused form of the MLP never has
    if name == "encoder":
        whole, apart = model.encode([row]).states[0], model.encode([row], trace=traced).states[0]
    else:
        [whole], [apart] = model.decode([row], want="all"), model.decode([row], want="all", trace=traced)
        cache = model.new_cache(1, 256)
        one_by_one = [model.decode([[token]], cache)[0] for token in row]
        assert np.array_equal(np.concatenate(one_by_one), whole)
    assert np.array_equal(whole, apart)
    assert len(traced.arrays) == 2


def test_weights_of_several_types_meet_in_one_mlp() -> None:
    config = replace(WIDE["gated"], max_positions=64)
    row = [(5 * i) % 31 for i in range(40)]
    [exact] = executor(config).decode([row], want="all")
    for kept in ("gate", "up", "down"):
        packed = pack_weights(config, random_weights(config), "int8")
        floats = pack_weights(config, random_weights(config), "float32")
        mixed = {n: (floats if f".{kept}." in n else packed).matrices[n] for n in packed.matrices}
        model = NativeExecutor(config, replace(packed, matrices=mixed), "int8", threads=2)
        [whole] = model.decode([row], want="all")
        assert relative_norm(whole, exact) < 0.04
        cache = model.new_cache(1, 64)
        assert np.array_equal(np.concatenate([model.decode([[t]], cache)[0] for t in row]), whole)


@pytest.mark.parametrize("head", ["token_labels", "sequence_labels"])
def test_heads_of_labels_over_rows_that_are_not_padded(head: str) -> None:
    config = replace(
        WIDE["encoder"], head=head, head_bias=True, labels=("a", "b", "c"), pooler=head == "sequence_labels"
    )
    rows = [row[:20] for row in ROWS]
    ours, theirs = native(config), executor(config)
    for a, b in zip(ours.head(ours.encode(rows)), theirs.head(theirs.encode(rows)), strict=True):
        assert relative(a, b) < 1e-5


def test_keys_and_values_keep_the_bits_that_scores_need() -> None:
    for name in DECODERS:
        config = BY_FAMILY[name]
        assert default_kv(config, "float32", SETS[-1]) == "float32"
        assert default_kv(config, "int8", "avx2") == "float16"
        assert default_kv(config, "int8", "avx512_bf16") == ("float16" if name == "t5" else "bfloat16")


def test_wrong_calls_are_refused_by_name() -> None:
    model, other = native(BY_FAMILY["llama"]), native(BY_FAMILY["qwen2"])
    with pytest.raises(ContextWindowError, match="33 tokens do not fit the context window of 32"):
        model.decode([[1] * 33])
    with pytest.raises(ContextWindowError, match="9 tokens do not fit a cache of 8"):
        model.decode([[1] * 9], model.new_cache(1, 8))
    with pytest.raises(OptionError, match="capacity is 40"):
        model.new_cache(1, 40)
    with pytest.raises(OptionError, match="rows names 3"):
        model.new_cache(2, 8).select([3])
    with pytest.raises(OptionError, match="cannot be joined"):
        model.new_cache(1, 8).join(other.new_cache(1, 8))
    with pytest.raises(OptionError, match="a KVCache"):
        model.decode([[1]], executor(BY_FAMILY["llama"]).new_cache(1, 8))
    with pytest.raises(UnsupportedError, match="no encoder"):
        model.encode([[1]])
    with pytest.raises(IndexError, match="token id 31 is outside the vocabulary of 31"):
        model.decode([[31]])
    with pytest.raises(OptionError, match="instruction set 'sse9' is not here"):
        native(BY_FAMILY["llama"], instruction_set="sse9")
    with pytest.raises(OptionError, match="kv is 'int3'"):
        native(BY_FAMILY["llama"], kv="int3")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "palm", "bloom"])
def test_a_trace_of_many_tokens_changes_no_bit(family: str, dtype: str) -> None:
    """Where the MLP is computed in one go, a trace of what lies between its halves takes it apart."""
    model = native(replace(BY_FAMILY[family], max_positions=128), dtype)
    [plain] = decoded(model, MANY[:1])
    for kinds in (["mlp.hidden"], ["mlp.output"], None):
        trace = Trace(model.config, kinds=kinds)
        [traced] = decoded(model, MANY[:1], trace=trace)
        assert np.array_equal(plain, traced)


@pytest.mark.parametrize("kv", ["float32", "float16", "bfloat16", "int8"])
def test_what_one_sequence_leaves_does_not_reach_another(kv: str) -> None:
    """Pages are used again, and weights of zero times what is no number are no number."""
    config = BY_FAMILY["llama"]
    weights = dict(random_weights(config))
    weights["embed.tokens.weight"][30] = np.nan
    model = NativeExecutor(config, pack_weights(config, weights.items(), "float32"), "float32", kv=kv)
    expected = decoded(model, ROWS[:1])[0]
    spoiled = model.new_cache(4, 32)
    assert not np.isfinite(model.decode([[30] * 32] * 4, spoiled)[0]).any()
    del spoiled
    fresh = model.new_cache(1, 32)
    assert np.array_equal(model.decode(ROWS[:1], fresh, want="all")[0], expected)


def test_weights_that_are_no_numbers_show() -> None:
    config = BY_FAMILY["llama"]
    for dtype in ("float32", "bfloat16"):
        weights = dict(random_weights(config))
        weights["decoder.layers.0.mlp.up.weight"][3, 5] = np.nan
        model = NativeExecutor(config, pack_weights(config, weights.items(), dtype), dtype)
        assert not np.isfinite(model.decode([[1, 2]])[0]).all()
    weights["decoder.layers.0.mlp.up.weight"][3, 5] = np.float32(3e38)
    with np.errstate(all="ignore"):
        model = NativeExecutor(config, pack_weights(config, weights.items(), "float32"), "float32")
        assert not np.isfinite(model.decode([[1, 2]])[0]).all()

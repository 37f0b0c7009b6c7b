"""`verify`: it passes on sound models of every kind, and each kind of fault fails the check that is there for it."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clearhead as ch
import tiny
from clearhead.checkpoints.catalogue import FileCheck
from clearhead.config import SpecialTokens
from clearhead.engine import verification
from clearhead.engine.contract import decoder, encoder, generation, text
from clearhead.engine.contract.samples import SAMPLES
from clearhead.engine.contract.subject import BOUNDS, relative, subject
from clearhead.engine.verification import Check, check_weights, verify
from clearhead.errors import UnsupportedError
from clearhead.model.cache import KVCache
from clearhead.model.executor import TorchExecutor
from models import BY_FAMILY
from terminal import invoke

load = partial(ch.load, executor="torch")  # whose parts the faults below are put into


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {
        "gpt2": tiny.gpt2_folder(base / "gpt2"),
        "t5": tiny.t5_folder(base / "t5"),
        "bert": tiny.bert_folder(base / "bert"),
    }


def failed(model: ch.Model) -> set[str]:
    """The names of the checks that do not pass."""
    return {check.name for check in verify(model) if not check.passed}


DECODER = [*decoder.CHECKS, *generation.CHECKS]
WEIGHTS, TEXT = "weights whole and finite", list(text.CHECKS)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("gpt2", [WEIGHTS, *DECODER, *TEXT]),
        ("t5", [WEIGHTS, *encoder.CHECKS, *DECODER, *TEXT]),
        ("bert", [WEIGHTS, *encoder.CHECKS, *encoder.HEAD_CHECKS, *TEXT]),
    ],
)
@pytest.mark.parametrize(
    ("executor", "dtype"),
    [("torch", "float32"), ("torch", "float64"), ("native", "float32"), ("native", "int8"), ("native", "int4")],
)
def test_a_sound_model_keeps_every_promise_that_applies(
    family: str, names: list[str], executor: str, dtype: str, folders: dict[str, Path]
) -> None:
    checks = list(verify(ch.load(folders[family], executor=executor, dtype=dtype)))
    assert [check.name for check in checks] == names
    assert all(check.passed and not check.skipped for check in checks), [c for c in checks if not c.passed]
    relative_ones = [check for check in checks if check.measures == "largest relative difference"]
    assert relative_ones and all(check.bound == BOUNDS[dtype] for check in relative_ones)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_every_family_keeps_them(family: str, tmp_path: Path) -> None:
    config = replace(BY_FAMILY[family], vocab_size=tiny.VOCAB_SIZE, max_positions=48)
    special = load(tiny.gpt2_folder(tmp_path / "any")).special
    folder = tiny.write(tmp_path / "model", config, tiny.byte_level(), replace(special, decoder_start=257))
    assert not failed(load(folder))


def test_without_a_vocabulary_the_rest_is_checked(tmp_path: Path) -> None:
    folder = tiny.gpt2_folder(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    checks = {check.name: check for check in verify(load(folder))}
    assert all("vocabulary" in checks[name].skipped and checks[name].passed for name in TEXT)
    assert not any(checks[name].skipped for name in DECODER)


class Faulty(TorchExecutor):
    """An executor with one fault, which `fault` puts into what the sound one does."""

    fault: Callable[..., Any]

    def decode(self, tokens: Any, cache: Any = None, memory: Any = None, **options: Any) -> Any:
        sound = super().decode
        return self.fault(sound, tokens, cache, memory, **options)


Decode = Callable[..., Any]


def scaled(logits: Any, factor: float) -> list[np.ndarray]:
    return [row * np.float32(factor) for row in logits]


def wrong_with_cache(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    logits = sound(tokens, cache, memory, **options)
    return logits if cache is None or max(map(len, tokens)) > 1 else scaled(logits, 1.001)


def wrong_in_chunks(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    logits = sound(tokens, cache, memory, **options)
    return scaled(logits, 1.001) if cache is not None and len(tokens[0]) == 5 else logits


def wrong_in_a_batch(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    logits = sound(tokens, cache, memory, **options)
    return scaled(logits, 1.001) if len(tokens) == 3 and cache is None else logits


def wrong_when_watched(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    logits = sound(tokens, cache, memory, **options)
    return scaled(logits, 1.001) if options.get("trace") else logits


def no_numbers(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    return [row * np.float32("nan") for row in sound(tokens, cache, memory, **options)]


def constant(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    return [np.ones_like(row) for row in sound(tokens, cache, memory, **options)]


def drafts_read_wrong(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    logits = sound(tokens, cache, memory, **options)
    speculating = cache is not None and cache.lengths[0] > 16 and len(tokens[0]) > 1
    return [-row for row in logits] if speculating else logits


def never_twice_the_same(sound: Decode, tokens: Any, cache: Any, memory: Any, **options: Any) -> Any:
    never_twice_the_same.calls += 1  # type: ignore[attr-defined]
    noise = np.random.default_rng(never_twice_the_same.calls)  # type: ignore[attr-defined]
    return [row + noise.normal(size=row.shape).astype(row.dtype) for row in sound(tokens, cache, memory, **options)]


never_twice_the_same.calls = 0  # type: ignore[attr-defined]

COMPARISONS = {"cached = full", "chunked = full", "rewound = never read", "reordered rows go on", "batched = single"}
FAULTS: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "one token at a time": (wrong_with_cache, {"cached = full", "chunked = full"}),
    "chunks": (wrong_in_chunks, {"chunked = full"}),
    "batches": (wrong_in_a_batch, {"batched = single"}),
    "tracing": (wrong_when_watched, {"traced = untraced"}),
    "numbers": (no_numbers, {"logits are finite", "traced = untraced"} | COMPARISONS | set(generation.CHECKS)),
    "one answer": (constant, {"logits vary"}),
    "several at once": (
        drafts_read_wrong,
        {"speculative = greedy", "chunked = full", "rewound = never read", "reordered rows go on"},
    ),
    "chance": (never_twice_the_same, {"traced = untraced"} | COMPARISONS | set(generation.CHECKS)),
}


@pytest.mark.parametrize("case", FAULTS)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_fault_fails_the_checks_that_see_it_and_no_other(
    case: str, family: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, expected = FAULTS[case]
    monkeypatch.setattr(Faulty, "fault", staticmethod(fault), raising=False)
    model = load(folders[family])
    model.executor = Faulty(model.config, model.checkpoint.weights(), "float32", "cpu")
    assert failed(model) == expected


@pytest.mark.parametrize(
    ("method", "check"), [("truncate", "rewound = never read"), ("select", "reordered rows go on")]
)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_cache_that_does_not_obey_fails_its_check(
    method: str, check: str, family: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(self: KVCache, lengths: list[int]) -> None:
        self.lengths = list(lengths)
        with torch.inference_mode():
            for keys, _ in self.stored.values():
                keys[:, :, :1] = 0  # the first position is lost

    def stay(self: KVCache, rows: list[int]) -> None:
        self.lengths = [self.lengths[row] for row in rows]

    monkeypatch.setattr(KVCache, method, forget if method == "truncate" else stay)
    assert check in failed(load(folders[family]))


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_an_encoder_that_minds_its_neighbours_fails(
    family: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TorchExecutor.encode

    def encode(self: TorchExecutor, tokens: Any, *rest: Any, **options: Any) -> Any:
        memory = original(self, tokens, *rest, **options)
        if len(tokens) > 1:
            memory = replace(memory, padded=memory.padded * 1.01)
        return memory

    monkeypatch.setattr(TorchExecutor, "encode", encode)
    found = failed(load(folders[family]))
    assert "encoder batched = single" in found and "encoder states are finite" not in found
    assert family == "t5" or "head batched = single" in found


def test_weights_that_are_no_numbers_are_counted_and_named() -> None:
    good, bad = np.ones(5, np.float32), np.array([1, np.nan, np.inf], np.float32)
    check = check_weights([("a", good), ("b", bad), ("c", bad)])
    assert not check.passed and (check.figure, check.bound) == (4, 0)
    assert check.detail == "of 11; the first in b"
    assert check_weights([("a", good)]).passed


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_a_vocabulary_that_does_not_spell_what_it_reads_fails(family: str, folders: dict[str, Path]) -> None:
    model = load(folders[family])
    original = model.tokenizer.decode
    model.tokenizer.decode = lambda ids, **o: original(list(ids)[:-1], **o)  # type: ignore[method-assign]
    assert failed(model) == {"ids -> text -> ids"}


def test_an_id_without_an_embedding_fails(folders: dict[str, Path]) -> None:
    model = load(folders["gpt2"])
    original = model.tokenizer.encode
    model.tokenizer.encode = lambda t, **o: [*original(t, **o), 300]  # type: ignore[method-assign]
    assert "ids lie in the vocabulary" in failed(model)


def test_lines_with_characters_a_vocabulary_lacks_are_left_out_and_counted(folders: dict[str, Path]) -> None:
    checks = {check.name: check for check in verify(load(folders["bert"]))}
    assert "of 0 lines and 2 words" in checks["ids -> text -> ids"].detail
    whole = {check.name: check for check in verify(load(folders["gpt2"]))}
    assert whole["ids -> text -> ids"].detail == f"of {len(SAMPLES)} lines"


def test_a_tie_excuses_and_a_difference_does_not(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    made = subject(load(folders["gpt2"]))
    theirs = made.greedy.tokens
    row = [*made.prompt, *theirs[:3]]
    logits = made.executor.decode([row])[0][0]
    second = int(np.argsort(logits)[-2])
    ours = (*theirs[:3], second, *theirs[4:])
    assert generation.alike(made, ours, theirs).figure >= 1
    tied = logits.copy()
    tied[second] = tied[theirs[3]] * (1 - 1e-6)
    monkeypatch.setattr(TorchExecutor, "decode", lambda *_, **__: [tied[None]])
    excused = generation.alike(made, ours, theirs)
    assert excused.figure == 0 and "tie" in excused.detail


def test_a_figure_that_is_no_number_is_no_pass() -> None:
    assert not Check(name="x", figure=math.nan, bound=1.0).passed
    assert not Check(name="x", figure=math.inf, bound=1.0).passed
    assert Check(name="x", figure=1.0, bound=1.0).passed


def test_differences_are_relative_to_what_most_logits_are() -> None:
    theirs = np.linspace(-5, 5, 1001, dtype=np.float32)
    theirs[0] = -1e4  # Marian's padding
    ours = theirs.copy()
    ours[500:] += 0.01
    assert 1e-3 < relative(ours, theirs) < 3e-3
    assert relative(theirs, theirs) == 0
    assert relative(theirs[:5], theirs) == math.inf
    assert relative(theirs * np.float32("nan"), theirs) == math.inf
    assert relative(np.zeros(3, np.float32), np.zeros(3, np.float32)) == 0


def test_rows_avoid_special_tokens_and_fit_small_windows(tmp_path: Path) -> None:
    config = replace(BY_FAMILY["gpt2"], vocab_size=tiny.VOCAB_SIZE, max_positions=8)
    special = SpecialTokens(bos=256, eos=(256, 10), pad=11)
    model = load(tiny.write(tmp_path / "small", config, tiny.byte_level(), special))
    made = subject(model)
    assert max(map(len, made.rows)) <= 4 and len(made.prompt) + made.request.max_new_tokens <= 8
    assert not {10, 11, 256} & {i for row in made.rows for i in row}
    assert not failed(model)


def test_an_error_inside_a_check_is_a_failure_with_its_reason(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise UnsupportedError("not today")

    monkeypatch.setitem(verification.decoder.CHECKS, "cached = full", broken)
    [check] = [c for c in verify(load(folders["gpt2"])) if not c.passed]
    assert (check.name, check.detail) == ("cached = full", "not today")


def test_the_verb_shows_each_with_its_figure_and_its_status(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke("verify", folders["gpt2"])
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and len(lines) == 1 + len(DECODER) + len(TEXT)
    assert all(line.startswith("pass  ") for line in lines)
    assert any("<= 1e-04" in line for line in lines)
    assert result.stderr == f"{len(lines)} checks, all passed\n"
    found = json.loads(invoke("verify", folders["bert"], "--json").stdout)
    assert found["passed"] is True and {"name", "figure", "bound", "passed", "measures"} <= set(found["checks"][0])
    assert "1e-09" in invoke("verify", folders["gpt2"], "--dtype", "float64").stdout

    monkeypatch.setattr(Faulty, "fault", staticmethod(no_numbers), raising=False)
    monkeypatch.setattr("clearhead.model.executor.TorchExecutor", Faulty)
    broken = invoke("verify", folders["gpt2"], "--executor", "torch")
    assert broken.exit_code == 1
    assert "FAIL  logits are finite" in broken.stdout and "Traceback" not in broken.stderr
    assert "failures: logits are finite" in broken.stderr
    data = json.loads(invoke("verify", folders["gpt2"], "--executor", "torch", "--json").stdout)
    assert data["passed"] is False and None in [check["figure"] for check in data["checks"]]


def test_the_files_of_a_pulled_model_are_compared(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        FileCheck(path=Path("a.gguf"), expected="1", found="1"),
        FileCheck(path=Path("b"), expected="1", found=None),
    ]
    monkeypatch.setattr("clearhead.checkpoints.catalogue.verify_files", lambda name: files)
    result = invoke("verify", folders["gpt2"])
    assert result.exit_code == 1
    assert re.search(r"^FAIL  files are as published +1 +files that changed of 2; the first is b$", result.stdout, re.M)
    monkeypatch.setattr("clearhead.checkpoints.catalogue.verify_files", lambda name: files[:1])
    assert invoke("verify", folders["gpt2"]).exit_code == 0

"""`inspect`, `tokenize`, `models`, `pull`, `remove`, `export` and `doctor`."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
import tiny
from clearhead.checkpoints.catalogue import DEFAULT_MODEL, list_models
from clearhead.cli.quantities import plural, short, size
from clearhead.config import RotaryScaling
from clearhead.families.layout import count, layout
from clearhead.lens.architecture import architecture
from clearhead.lens.diagram.figure import draw
from models import BY_FAMILY
from terminal import fails, invoke, on_terminal

STYLE = re.compile(r"\x1b\[[0-9;]*m")
TRANSFORMER = """\
                                                       logits [T × 31]
                                                              ▲
                                               ╭──────────────┴──────────────╮
                                               │        head 24 → 31         │
                                               │ shares the token embedding  │
                                               ╰──────────────▲──────────────╯
                                          ╭───────────────────┴─ decoder × 2 ──╮
                                          │               LayerNorm            │
                                          │ ┌─────────────────⊕                │
                                          │ │  ╭──────────────┴──────────────╮ │
                                          │ │  │          MLP, ReLU          │ │
                                          │ │  │        24 → 40 → 24         │ │
                                          │ │  ╰──────────────▲──────────────╯ │
                                          │ └─────────────────┤                │
                    ╭───────────────────╮ │               LayerNorm            │
╭───────────────────┴─ encoder × 2 ──╮  │ │ ┌─────────────────⊕                │
│               LayerNorm            │  │ │ │  ╭──────────────┴──────────────╮ │
│ ┌─────────────────⊕                │  ╰─┼─┼─▶│       cross-attention       │ │
│ │  ╭──────────────┴──────────────╮ │    │ │  │         6 heads × 4         │ │
│ │  │          MLP, ReLU          │ │    │ │  │          Q  ■■■■■■          │ │
│ │  │        24 → 40 → 24         │ │    │ │  │          KV ■■■■■■          │ │
│ │  ╰──────────────▲──────────────╯ │    │ │  ╰──────────────▲──────────────╯ │
│ └─────────────────┤                │    │ └─────────────────┤                │
│               LayerNorm            │    │               LayerNorm            │
│ ┌─────────────────⊕                │    │ ┌─────────────────⊕                │
│ │  ╭──────────────┴──────────────╮ │    │ │  ╭──────────────┴──────────────╮ │
│ │  │       self-attention        │ │    │ │  │    masked self-attention    │ │
│ │  │         6 heads × 4         │ │    │ │  │         6 heads × 4         │ │
│ │  │          Q  ■■■■■■          │ │    │ │  │          Q  ■■■■■■          │ │
│ │  │          KV ■■■■■■          │ │    │ │  │          KV ■■■■■■          │ │
│ │  ╰──────────────▲──────────────╯ │    │ │  ╰──────────────▲──────────────╯ │
│ └─────────────────┤                │    │ └─────────────────┤                │
╰───────────────────┬────────────────╯    ╰───────────────────┬────────────────╯
     ╭──────────────┴─────────────────────────────────────────┴──────────────╮
     │                        token embedding 31 × 24                        │
     │                                × 4.899                                │
     │                        ⊕ sinusoidal positions                         │
     ╰──────────────▲─────────────────────────────────────────▲──────────────╯
                 prompt                                  text so far"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "base")


def test_the_figure_is_that_of_the_paper() -> None:
    assert draw(architecture(BY_FAMILY["transformer"])).plain == TRANSFORMER


@pytest.mark.parametrize("family", BY_FAMILY)
def test_every_family_is_drawn_within_80_columns(family: str) -> None:
    figure = draw(architecture(BY_FAMILY[family])).plain
    assert max(map(len, figure.splitlines())) <= 80
    assert figure.count("╭") == figure.count("╮")
    assert figure.count("╰") == figure.count("╯") + figure.count("▶")  # the encoder's output ends in an arrow


WORDS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "norm": [({"norm": "rms"}, "RMSNorm"), ({"norm": "layer_without_bias"}, "LayerNorm, no bias")],
    "position": [
        ({"position": "rotary"}, "rotary"),
        ({"position": "alibi"}, "ALiBi"),
        ({"position": "learned"}, "learned"),
    ],
    "scaling": [({"position": "rotary", "rotary_scaling": RotaryScaling(kind="yarn", factor=4.0)}, "(yarn × 4)")],
    "heads": [({"n_kv_heads": 2}, "Q  ■■■ ■■■"), ({"n_kv_heads": 1}, "KV ■    "), ({"n_kv_heads": 2}, "2 KV heads")],
    "mlp": [({"mlp": "gated", "activation": "silu"}, "gated SiLU"), ({"activation": "relu"}, "MLP, ReLU")],
    "head": [({"logit_scale": 0.25}, "× 0.25")],
    "embedding": [({"embedding_scale": 2.5}, "× 2.5"), ({"n_token_types": 3}, "token types 3 × 24")],
}


@pytest.mark.parametrize(("changes", "words"), [case for cases in WORDS.values() for case in cases])
def test_choices_show_in_the_figure(changes: dict[str, Any], words: str) -> None:
    plain = BY_FAMILY["gpt2"]
    assert words in draw(architecture(replace(plain, **changes))).plain
    assert words not in draw(architecture(replace(plain, position="sinusoidal"))).plain


def test_a_head_of_its_own_shares_nothing() -> None:
    assert "shares the token embedding" in draw(architecture(BY_FAMILY["gpt2"])).plain
    assert "shares" not in draw(architecture(replace(BY_FAMILY["gpt2"], tied=False))).plain


def test_norms_stand_where_they_are() -> None:
    def order(**changes: Any) -> list[str]:
        lines = draw(architecture(replace(BY_FAMILY["gpt2"], **changes))).plain.splitlines()
        words = ("LayerNorm", "⊕", "MLP", "attention", "┤")
        return [
            word for line in lines for word in words if word in line and "token" not in line and "learned" not in line
        ]

    assert order() == ["LayerNorm", "⊕", "MLP", "LayerNorm", "┤", "⊕", "attention", "LayerNorm", "┤"]
    assert order(norm_placement="post") == ["LayerNorm", "⊕", "MLP", "┤", "LayerNorm", "⊕", "attention", "┤"]
    parallel = draw(architecture(replace(BY_FAMILY["gpt2"], residual="parallel"))).plain
    assert any("attention" in line and "MLP" in line for line in parallel.splitlines())
    assert parallel.count("⊕") == 2  # one sum, and the learned positions


@pytest.mark.parametrize("family", BY_FAMILY)
def test_parts_add_up_to_all_the_weights(family: str) -> None:
    config = BY_FAMILY[family]
    found = architecture(config)
    assert found.parameters == sum(found.parts.values()) == count(layout(config))
    assert found.weight_bytes == {
        "float32": 4 * found.parameters,
        "bfloat16": 2 * found.parameters,
        "int8": found.parameters,
    }
    keys_and_values = 2 * config.n_decoder_layers * config.n_kv_heads * config.head_dim
    assert found.cache_bytes("bfloat16") == 1000 * 2 * keys_and_values


def test_inspect_reads_no_weights(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr("clearhead.checkpoints.folder.read_tensor", refuse)
    result = invoke("inspect", base)
    assert result.exit_code == 0
    total = count(layout(tiny.sized("gpt2")))
    assert f"parameters      {total:,}" in result.stdout
    assert "context window  128 tokens" in result.stdout
    assert "begin <|endoftext|> 256" in result.stdout
    assert max(map(len, result.stdout.splitlines()[2:-2])) <= 80


def test_inspect_as_json(base: Path) -> None:
    found = json.loads(invoke("inspect", base, "--json").stdout)
    config = tiny.sized("gpt2")
    assert found["parameters"] == sum(found["parts"].values()) == count(layout(config))
    assert (found["family"], found["kind"], found["context_window"]) == ("gpt2", "decoder", 128)
    assert found["special_tokens"]["end"] == {"id": 256, "piece": "<|endoftext|>"}
    assert found["config"]["n_heads"] == config.n_heads
    assert [s["kind"] for s in found["stacks"][0]["sublayers"]] == ["attention", "mlp"]
    assert "Radford" in found["paper"] and found["licence"] is None


def test_every_weight_has_its_line(base: Path) -> None:
    lines = invoke("inspect", base).stdout
    assert re.search(r"^  attention\.query +24 × 24 \+ bias +600$", lines, re.MULTILINE)
    assert re.search(r"^  tokens +300 × 24 +7,200$", lines, re.MULTILINE)
    assert re.search(r"^decoder: 2 × [\d,]+ .* [\d.]+%$", lines, re.MULTILINE)


def test_tokens_in_a_pipe_are_a_table(base: Path) -> None:
    result = invoke("tokenize", "Hi é", "-m", base)
    rows = [line.split() for line in result.stdout.splitlines()]
    ids = ch.load_tokenizer(base).encode("Hi é")
    assert rows[0] == ["position", "id", "text", "piece"]
    assert [int(row[1]) for row in rows[1:]] == ids
    assert rows[-1][2:] == ["<A9>", "©"]
    assert result.stderr == "5 tokens · context window 128\n"
    assert invoke("tokenize", "Hi é", "-m", base, "--ids").stdout == " ".join(map(str, ids)) + "\n"


def test_tokens_as_json(base: Path) -> None:
    found = json.loads(invoke("tokenize", "-", "-m", base, "--json", input="é<|im_end|>\n").stdout)
    tokenizer = ch.load_tokenizer(base)
    assert found["ids"] == tokenizer.encode("é<|im_end|>")
    assert (found["count"], found["context_window"]) == (3, 128)
    assert found["bytes"] == [[0xC3], [0xA9], []]
    assert found["pieces"] == tokenizer.pieces(found["ids"])


def test_what_frames_a_text_can_be_left_out(tmp_path: Path) -> None:
    folder = tiny.bert_folder(tmp_path / "bert")
    assert invoke("tokenize", "the book", "-m", folder, "--ids").stdout == "2 5 9 3\n"
    assert invoke("tokenize", "the book", "-m", folder, "--ids", "--no-special-tokens").stdout == "5 9\n"


def test_on_a_terminal_tokens_have_backgrounds_and_ids_below(base: Path) -> None:
    shown, _ = on_terminal(["tokenize", "ab" * 60 + "<|im_end|>", "-m", base])
    lines = STYLE.sub("", shown).splitlines()
    assert lines[0].split() == ["a", "b"] * (len(lines[0].split()) // 2)
    assert len(lines[1].split()) == len(lines[0].split())
    assert max(map(len, lines)) <= 80
    backgrounds = re.findall(r"\x1b\[([0-9;]+)m[ab]", shown)
    assert len(set(backgrounds)) == 2 and all(a != b for a, b in pairwise(backgrounds))


def test_models_lists_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path))
    known = list_models()
    lines = invoke("models").stdout.splitlines()
    assert lines[0].split() == ["name", "family", "parameters", "size", "licence", "installed", "what"]
    assert [line.split()[0] for line in lines[1:]] == [status.name for status in known]
    found = json.loads(invoke("models", "--json").stdout)
    assert found[0]["name"] == DEFAULT_MODEL and found[0]["installed"] is False and found[0]["licence"]
    shown, _ = on_terminal(["models"], env={"CLEARHEAD_CACHE": str(tmp_path)})
    plain = STYLE.sub("", shown)
    assert all(f"{'●' if status.bundled else '○'} {status.name}" in plain for status in known)
    assert max(map(len, plain.splitlines()[:-1])) <= 80


def test_pull_fetches_each_and_tells_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, *, progress: Any) -> Path:
        progress.begin(f"{name} from somewhere", 1_500_000)
        progress.advance(1_500_000)
        return Path("/models") / name

    monkeypatch.setattr("clearhead.checkpoints.catalogue.pull", fetch)
    result = invoke("pull", "one", "two")
    assert result.stdout == "one  /models/one\ntwo  /models/two\n"
    assert result.stderr == "one from somewhere (1.5 MB)\ntwo from somewhere (1.5 MB)\n"
    assert json.loads(invoke("pull", "one", "--json").stdout) == [{"model": "one", "path": "/models/one"}]


def test_a_download_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from clearhead.cli.progress import SafeBar, progress

    monkeypatch.setattr("clearhead.cli.screen.is_terminal", lambda file: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    with progress() as bar:
        assert isinstance(bar, SafeBar)
    assert capsys.readouterr() == ("", "")
    with progress() as bar:
        bar.begin("first [bold]file[/bold]", 1000)
        bar.advance(700)
        bar.begin("second\x1b[2J", 0)
        bar.advance(10)
    shown = capsys.readouterr().err
    assert "second\\x1b[2J" in shown and "second\x1b[2J" not in shown


def test_remove_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []

    def discard(name: str) -> int:
        removed.append(name)
        return 2_500_000

    monkeypatch.setattr("clearhead.checkpoints.catalogue.remove", discard)
    assert "add --yes" in fails("remove", "one")
    assert not removed
    assert invoke("remove", "one", "--yes").stdout == "one  2.5 MB freed\n"
    assert json.loads(invoke("remove", "one", "-y", "--json").stdout) == [{"model": "one", "bytes": 2_500_000}]
    shown, status = on_terminal(["remove", "minilm-l6-v2"], [("?", "n\n")], env={"CLEARHEAD_CACHE": "/nonexistent"})
    assert status == 1 and "Remove minilm-l6-v2?" in shown and "Traceback" not in shown


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert"])
def test_an_exported_folder_loads_in_transformers_with_equal_logits(family: str, tmp_path: Path) -> None:
    import torch
    import transformers as tf

    source = getattr(tiny, f"{family}_folder")(tmp_path / "source")
    result = invoke("export", source, tmp_path / "out")
    assert result.exit_code == 0
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(names)
    kind = {"gpt2": tf.AutoModelForCausalLM, "t5": tf.AutoModelForSeq2SeqLM, "bert": tf.AutoModelForMaskedLM}[family]
    theirs, ours = kind.from_pretrained(tmp_path / "out").eval(), ch.load(source)
    ids = [5, 6, 7, 8]
    decoder = {"decoder_input_ids": torch.tensor([ids])} if family == "t5" else {}
    with torch.inference_mode():
        logits = theirs(input_ids=torch.tensor([ids]), **decoder).logits[0].numpy()
    assert np.allclose(ours.logits(ids, ids if family == "t5" else None), logits, atol=1e-4)
    tokenizer = tf.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("the teacher taught").input_ids == ours.tokenizer.encode("the teacher taught")


def test_export_keeps_the_type_of_the_file_unless_told(base: Path, tmp_path: Path) -> None:
    half = json.loads(invoke("export", base, tmp_path / "half", "--dtype", "bfloat16", "--json").stdout)
    assert half["dtype"] == "bfloat16"
    again = json.loads(invoke("export", tmp_path / "half", tmp_path / "again", "--json").stdout)
    assert again["dtype"] == "bfloat16" and again["files"]["model.safetensors"] == half["files"]["model.safetensors"]
    assert "not empty" in fails("export", base, tmp_path / "half")
    assert "'int4'" in fails("export", base, tmp_path / "other", "--dtype", "int4")
    assert not (tmp_path / "other").exists()


def test_doctor_tells_what_there_is_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path))
    found = json.loads(invoke("doctor", "--json").stdout)
    assert found["clearhead"] == ch.__version__
    assert found["executors"]["torch"]["available"] is True and found["executors"]["torch"]["devices"][0] == "cpu"
    assert found["missing"] == {"a model": f"clearhead pull {DEFAULT_MODEL} (or any command that needs one fetches it)"}
    assert found["cache"] == {"folder": str(tmp_path), "bytes": 0}
    assert 1 <= found["processor"]["usable_cores"] <= found["processor"]["cores"]
    lines = invoke("doctor").stdout
    assert all(
        f"\n{name}" in lines for name in ("python", "processor", "memory", "executors", "cache", "models", "missing")
    )


def test_numbers_as_people_read_them() -> None:
    assert [size(n) for n in (0, 999, 1500, 98_362_432, 538_060_032, 1_117_320_768)] == [
        "0 bytes", "999 bytes", "1.5 kB", "98.4 MB", "538 MB", "1.1 GB",
    ]  # fmt: skip
    assert [short(n) for n in (12, 1234, 134_515_008, 1_543_714_304)] == ["12", "1.2k", "134.5M", "1.5B"]
    assert [plural(n, word) for n, word in ((1, "query"), (2, "query"), (0, "day"), (1200, "row"))] == [
        "1 query", "2 queries", "0 days", "1,200 rows",
    ]  # fmt: skip

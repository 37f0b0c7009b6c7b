"""`clearhead complete`: standard output is the prompt and its completion, exactly; all else goes elsewhere."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clearhead as ch
import terminal
import tiny
from clearhead.config import GenerationConfig
from clearhead.engine.model import Model
from terminal import fails, invoke

SHORT = ("--max-new-tokens", "8", "--ignore-eos")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def instruct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "instruct", chat=True)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.t5_folder(tmp_path_factory.mktemp("models") / "t5")


@pytest.mark.parametrize("kind", ["base", "instruct", "seq2seq"])
def test_standard_output_is_prompt_separator_completion_newline(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    result = invoke("complete", "Once upon a [bold]time[/bold]", "-m", folder, *SHORT)
    done = ch.load(folder).complete("Once upon a [bold]time[/bold]", max_new_tokens=8, ignore_eos=True)
    assert result.exit_code == 0
    assert result.stdout == done.prompt + done.separator + done.new_text + "\n"
    assert (done.separator == "") == (kind == "base")
    assert "\x1b" not in result.stderr


def test_figures_are_one_line_on_standard_error(base: Path) -> None:
    result = invoke("complete", "abc", "-m", base, *SHORT)
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("8 tokens")
    assert "finish length · context 11 of 128" in result.stderr
    assert invoke("complete", "abc", "-m", base, *SHORT, "--quiet").stderr == ""


def test_a_drawn_completion_tells_its_seed_and_the_seed_repeats_it(base: Path) -> None:
    drawn = invoke("complete", "abc", "-m", base, *SHORT, "-t", "1.5")
    seed = drawn.stderr.rsplit("seed ", 1)[1].strip()
    again = invoke("complete", "abc", "-m", base, *SHORT, "-t", "1.5", "--seed", seed)
    other = invoke("complete", "abc", "-m", base, *SHORT, "-t", "1.5", "--seed", str(int(seed) // 2 + 1))
    assert again.stdout == drawn.stdout != other.stdout


def test_text_from_a_file_or_a_pipe_is_the_text(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"\xef\xbb\xbfline one\nline two\n")
    whole = invoke("complete", "line one\nline two", "-m", base, *SHORT).stdout
    assert invoke("complete", "--file", file, "-m", base, *SHORT).stdout == whole
    assert invoke("complete", "-", "-m", base, *SHORT, input="line one\nline two\n").stdout == whole
    windows = invoke("complete", "-m", base, *SHORT, input="line one\r\nline two")
    assert windows.stdout_bytes.startswith(b"line one\r\nline two")
    assert invoke("complete", "-m", base, *SHORT, input="line one\nline two").stdout == whole


def test_json_is_the_whole_completion(instruct: Path) -> None:
    result = invoke("complete", "Hi", "-m", instruct, *SHORT, "--json", "--logprobs", "2", "--prompt-logprobs")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    done = ch.load(instruct).complete("Hi", max_new_tokens=8, ignore_eos=True, logprobs=2, prompt_logprobs=True)
    assert (found["text"], found["new_text"], found["sent"]) == (done.text, done.new_text, done.sent)
    assert (tuple(found["tokens"]), tuple(found["logprobs"])) == (done.tokens, done.logprobs)
    assert (found["finish_reason"], found["seed"], found["model"]) == ("length", None, str(instruct))
    assert len(found["prompt_logprobs"]) == found["usage"]["prompt_tokens"] == done.usage.prompt_tokens
    assert found["usage"]["total_tokens"] == done.usage.total_tokens
    assert found["context"] == {
        "window": 128,
        "used": done.context.used,
        "remaining": done.context.remaining,
        "dropped": 0,
        "strategy": "error",
    }
    assert set(found["timing"]) == {"first_token", "total", "tokens_per_second"}
    assert found["samples"][0]["new_text"] == done.new_text
    assert [len(rivals) for rivals in found["alternatives"]] == [2] * 8


def test_several_samples_are_numbered(base: Path) -> None:
    result = invoke("complete", "abc", "-m", base, *SHORT, "-t", "1", "--n", "3", "--seed", "5")
    samples = ch.load(base).complete("abc", max_new_tokens=8, ignore_eos=True, temperature=1, n=3, seed=5).samples
    assert result.stdout == "abc\n" + "".join(f"[{i}] {s.new_text}\n" for i, s in enumerate(samples, start=1))
    assert result.stderr.startswith("24 tokens")


def test_beams_give_their_best(base: Path) -> None:
    one = invoke("complete", "abc", "-m", base, "--max-new-tokens", "5", "--beams", "3")
    two = invoke("complete", "abc", "-m", base, "--max-new-tokens", "5", "--beams", "3", "--n", "2")
    best = ch.load(base).complete("abc", max_new_tokens=5, beams=3, n=2)
    assert one.stdout == best.text + "\n"
    assert two.stdout.startswith(f"abc\n[1] {best.new_text}\n[2] ")
    assert f"score {best.samples[0].score:.3f}" in one.stderr


def test_logprobs_follow_as_a_table(base: Path) -> None:
    result = invoke("complete", "abc", "-m", base, "--max-new-tokens", "2", "--ignore-eos", "--logprobs", "2")
    text, _, table = result.stdout.partition("\n\n")
    done = ch.load(base).complete("abc", max_new_tokens=2, ignore_eos=True, logprobs=2)
    assert text == done.text
    head, *rows = table.splitlines()
    assert head.split() == ["token", "logprob", "probability", "rivals"]
    assert [f"{logprob:.3f}" in row for logprob, row in zip(done.logprobs, rows, strict=True)] == [True, True]


def test_what_was_sent_can_be_seen(instruct: Path) -> None:
    result = invoke("complete", "Hi", "-m", instruct, *SHORT, "--show-prompt", "--system", "Be brief.", "-q")
    assert result.stderr == (
        "sent to the model:\n<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n\n"
    )
    raw = invoke("complete", "Hi", "-m", instruct, *SHORT, "--show-prompt", "--raw", "-q")
    assert raw.stderr == "sent to the model:\nHi\n"
    assert raw.stdout.startswith("Hi")


def test_what_was_dropped_is_told(base: Path) -> None:
    result = invoke("complete", "x" * 200, "-m", base, "--max-new-tokens", "8", "--on-overflow", "truncate-left")
    assert result.exit_code == 0
    assert "80 tokens of the prompt dropped (truncate-left)" in result.stderr
    assert result.stdout.startswith("x" * 200)


OPTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "max_new_tokens": (("--max-new-tokens", "7"), 7),
    "min_new_tokens": (("--min-new-tokens", "2"), 2),
    "temperature": (("--temperature", "0.5"), 0.5),
    "top_k": (("--top-k", "9"), 9),
    "top_p": (("--top-p", "0.9"), 0.9),
    "min_p": (("--min-p", "0.1"), 0.1),
    "repetition_penalty": (("--repetition-penalty", "1.2"), 1.2),
    "presence_penalty": (("--presence-penalty", "0.3"), 0.3),
    "frequency_penalty": (("--frequency-penalty", "-0.2"), -0.2),
    "logit_bias": (("--logit-bias", "5=-100", "--logit-bias", "6=1.5"), {5: -100.0, 6: 1.5}),
    "stop": (("--stop", "a b", "--stop", "\n"), ("a b", "\n")),
    "stop_ids": (("--stop-id", "3", "--stop-id", "4"), (3, 4)),
    "ignore_eos": (("--ignore-eos",), True),
    "seed": (("--seed", "12"), 12),
    "logprobs": (("--logprobs", "0"), 0),
    "prompt_logprobs": (("--prompt-logprobs",), True),
    "n": (("--n", "2", "--beams", "2"), 2),
    "beams": (("--beams", "2"), 2),
    "length_penalty": (("--length-penalty", "0.7"), 0.7),
    "early_stopping": (("--early-stopping",), True),
    "draft_tokens": (("--draft-tokens", "3"), 3),
}


def test_every_generation_option_has_its_flag() -> None:
    assert set(OPTIONS) == set(GenerationConfig.__dataclass_fields__)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_reaches_the_model(name: str, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def watch(method: str) -> None:
        original = getattr(Model, method)

        def call(self: Model, prompt: str, **options: Any) -> Any:
            seen.update(options)
            return original(self, prompt, **options)

        monkeypatch.setattr(Model, method, call)

    watch("stream")
    watch("complete")
    arguments, value = OPTIONS[name]
    more = () if name == "max_new_tokens" else ("--max-new-tokens", "4")
    assert invoke("complete", "abc", "-m", base, *more, *arguments).exit_code == 0
    assert (tuple(seen[name]) if isinstance(value, tuple) else seen[name]) == value


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--logit-bias", "five"), "'five' is not ID=BIAS"),
        (("--top-k", "many"), "'many' is not a whole number"),
        (("--temperature", "hot"), "'hot' is not a number"),
        (("--temperature", "nan"), "temperature is nan"),
        (("--n", "2"), "set temperature above 0"),
        (("--on-overflow", "shrug"), "'shrug'"),
        (("--dtype", "int3"), "'int3'"),
        (("--device", "abacus"), "'abacus'"),
        (("--executor", "abacus"), "'abacus'"),
        (("--system", "x"), "system message needs a chat template"),
        (("--file", "/nonexistent/file"), "given twice"),
        (("--nonsense",), "No such option"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(arguments: tuple[str, ...], says: str, base: Path) -> None:
    assert says in fails("complete", "abc", "-m", base, *arguments)


def test_text_that_is_not_utf8_is_refused(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "latin1.txt"
    file.write_bytes("für".encode("latin-1"))
    assert "not UTF-8 (byte 1)" in fails("complete", "--file", file, "-m", base)
    assert "cannot be read" in fails("complete", "--file", tmp_path, "-m", base)
    assert "is empty" in fails("complete", "-", "-m", base, input="\n")


def test_an_option_is_judged_before_a_model_is_looked_for() -> None:
    assert "top_p is 2.0" in fails("complete", "abc", "-m", "no-such-model", "--top-p", "2")


CTRL_C = """
import os, signal
from clearhead.cli import main
from clearhead.cli.interrupt import Interrupt
asked = 0
def ask(self):
    global asked
    asked += 1
    if asked == 5:
        os.kill(os.getpid(), signal.SIGINT)
    return self.pressed
Interrupt.__call__ = ask
main()
"""


@pytest.mark.parametrize("more", [[], ["--json"], ["--n", "2"]])
def test_ctrl_c_keeps_what_there_is(more: list[str], base: Path) -> None:
    arguments = ["complete", "abc", "-m", str(base), "--max-new-tokens", "100", "--ignore-eos", "-t", "1", *more]
    command = [sys.executable, "-c", CTRL_C, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    if "--json" in more:
        found = json.loads(done.stdout)
        assert found["finish_reason"] == "cancelled" and 0 < len(found["tokens"]) < 100
    else:
        assert done.stdout.startswith("abc") and done.stdout.endswith("\n")
        assert "finish cancelled" in done.stderr


def test_ctrl_c_while_the_model_loads_leaves_quietly(base: Path) -> None:
    code = (
        "import os, signal, clearhead.checkpoints.opening as o\n"
        "o.open_checkpoint = lambda path: os.kill(os.getpid(), signal.SIGINT)\n"
        "from clearhead.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "complete", "abc", "-m", str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_reader_that_leaves_is_no_error(base: Path) -> None:
    command = [*terminal.COMMAND, "complete", "abc", "-m", str(base), "--max-new-tokens", "100", "--ignore-eos"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "rror" not in process.stderr.read()
    assert process.wait(timeout=60) in (0, 141)

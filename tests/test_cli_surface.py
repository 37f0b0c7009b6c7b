"""The command line's surface: a change of a verb or an option is a decision, made here as well."""

import os
import re
import subprocess
import sys

import pytest
import typer

from clearhead import __version__
from clearhead.cli.app import app
from terminal import COMMAND, invoke, on_terminal

MODEL = {"--dtype", "--executor", "--device", "--threads", "--offline"}
PICTURES = {"--html", "--png", "--svg", "--open"}
GENERATION = {
    "--max-new-tokens",
    "--min-new-tokens",
    "--stop",
    "--stop-id",
    "--ignore-eos",
    "--temperature/-t",
    "--top-k",
    "--top-p",
    "--min-p",
    "--repetition-penalty",
    "--presence-penalty",
    "--frequency-penalty",
    "--logit-bias",
    "--seed",
    "--draft-tokens",
}
SURFACE: dict[str, tuple[list[str], set[str]]] = {
    "complete": (
        ["prompt"],
        MODEL
        | GENERATION
        | {"--model/-m", "--file/-f", "--system", "--raw", "--on-overflow", "--n", "--beams", "--length-penalty"}
        | {"--early-stopping", "--logprobs", "--prompt-logprobs", "--show-prompt", "--quiet/-q", "--json"},
    ),
    "chat": ([], MODEL | GENERATION | {"--model/-m", "--system", "--on-overflow", "--quiet/-q", "--json"}),
    "translate": (
        ["text"],
        MODEL
        | {"--to", "--from", "--model/-m", "--file/-f", "--beams", "--length-penalty", "--alternatives"}
        | {"--alignment", "--glossary", "--prefix", "--html", "--open", "--quiet/-q", "--json"},
    ),
    "write": (
        ["title"],
        MODEL
        | {"--model/-m", "--file/-f", "--lines", "--outline", "--length", "--tone", "--temperature/-t", "--top-k"}
        | {"--top-p", "--min-p", "--repetition-penalty", "--seed", "--quiet/-q", "--json"},
    ),
    "entities": (
        ["text"],
        MODEL
        | {"--model/-m", "--file/-f", "--lines", "--type", "--min-score", "--html", "--open", "--quiet/-q", "--json"},
    ),
    "classify": (
        ["text"],
        MODEL | {"--model/-m", "--file/-f", "--lines", "--labels", "--about", "--quiet/-q", "--json"},
    ),
    "embed": (
        ["text"],
        MODEL | {"--model/-m", "--file/-f", "--lines", "--near", "--top", "--output/-o", "--quiet/-q", "--json"},
    ),
    "code": (
        ["request"],
        MODEL
        | {"--model/-m", "--file/-f", "--lines", "--language/-l", "--run-tests", "--hide-tests", "--time-limit"}
        | {"--memory-limit", "--unconfined", "--max-new-tokens", "--temperature/-t", "--seed", "--output/-o", "--force"}
        | {"--quiet/-q", "--json"},
    ),
    "fill-mask": (["text"], MODEL | {"--model/-m", "--file/-f", "--lines", "--top", "--quiet/-q", "--json"}),
    "parse": (["text"], MODEL | {"--model/-m", "--file/-f", "--beams", "--brackets", "--quiet/-q", "--json"}),
    "batch": (
        ["task"],
        MODEL
        | {"--input/-i", "--output/-o", "--field", "--part", "--ray", "--to", "--from", "--labels", "--about"}
        | {"--length", "--system", "--max-new-tokens", "--model/-m", "--quiet/-q", "--json"},
    ),
    "evaluate": (
        ["task"],
        MODEL
        | {"--data", "--references", "--fields", "--limit", "--to", "--from", "--samples", "--seed", "--model/-m"}
        | {"--output/-o", "--failures", "--quiet/-q", "--json"},
    ),
    "summarize": (
        ["text"],
        MODEL
        | {"--model/-m", "--file/-f", "--lines", "--part", "--length", "--style", "--links", "--sources", "--html"}
        | {"--quiet/-q", "--json"},
    ),
    "ask": (
        ["question"],
        MODEL
        | {"--documents/-d", "--store", "--file/-f", "--lines", "--passages", "--reranker", "--retrieve-only"}
        | {"--length", "--model/-m", "--quiet/-q", "--json"},
    ),
    "index": (["documents"], {"--store", "--quiet/-q", "--json", "--threads", "--offline"}),
    "tokenize": (
        ["text"],
        {"--model/-m", "--file/-f", "--no-special-tokens", "--ids", "--html", "--open", "--json", "--offline"},
    ),
    "trace": (
        ["text"],
        MODEL
        | PICTURES
        | {"--model/-m", "--file/-f", "--max-new-tokens", "--target", "--chat", "--layers", "--heads", "--kinds"}
        | {"--layer", "--head", "--module", "--who", "--ablate", "--save", "--json"},
    ),
    "positions": (["text"], PICTURES | {"--n", "--d", "--model/-m", "--json", "--offline"}),
    "neighbours": (
        ["words"],
        MODEL | PICTURES | {"--model/-m", "--top", "--layer", "--analogy", "--method", "--json"},
    ),
    "inspect": (["model"], PICTURES | {"--simplified", "--json", "--offline"}),
    "train": (
        ["recipe", "overrides"],
        {
            "--output",
            "--resume",
            "--data",
            "--short",
            "--tensorboard",
            "--write-tests",
            "--dry-run",
            "--list",
            "--show",
            "--json",
        }
        | {"--device", "--threads", "--offline"},
    ),
    "compare": (
        ["suite", "overrides"],
        {"--output", "--data", "--list", "--png", "--svg", "--json", "--device", "--threads", "--offline"},
    ),
    "curves": (["runs"], PICTURES - {"--html"} | {"--json"}),
    "models": ([], {"--json"}),
    "pull": (["names"], {"--json"}),
    "remove": (["names"], {"--yes/-y", "--json"}),
    "verify": (["model"], MODEL | {"--json"}),
    "quantize": (["model"], {"--dtype", "--text", "--tokens", "--threads", "--json", "--offline"}),
    "export": (["model", "folder"], {"--dtype", "--json", "--offline"}),
    "doctor": ([], {"--json"}),
}


def test_the_verbs_and_their_options() -> None:
    group = typer.main.get_command(app)
    found = {}
    for name, verb in group.commands.items():  # type: ignore[attr-defined]
        arguments = [p.name for p in verb.params if p.param_type_name == "argument"]
        options = {"/".join(p.opts) for p in verb.params if p.param_type_name == "option"}
        assert not [p for p in verb.params if p.secondary_opts]
        found[name] = (arguments, options)
    assert found == SURFACE


@pytest.mark.parametrize("verb", SURFACE)
def test_help_explains_every_option_and_gives_an_example(verb: str) -> None:
    result = invoke(verb, "--help")
    assert result.exit_code == 0 and result.stderr == ""
    for option in SURFACE[verb][1]:
        for name in option.split("/"):
            assert re.search(rf"^  (-\w, )?{name}(,| |$)", result.stdout, re.MULTILINE), name
    assert f"Example: clearhead {verb}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout == invoke(verb, "-h").stdout


def test_every_option_has_an_explanation() -> None:
    for verb in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        assert all(p.help for p in verb.params), verb.name
        assert verb.help and verb.rich_help_panel


def test_the_program_alone_shows_its_verbs() -> None:
    result = invoke()
    assert result.exit_code == 0
    assert all(f"\n  {verb} " in result.stdout for verb in SURFACE)
    assert result.stdout == invoke("--help").stdout


def test_the_version() -> None:
    assert invoke("--version").stdout == f"clearhead {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv[0] = 'clearhead'\n"
        "from clearhead.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'tokenizers', 'huggingface_hub', 'transformers', 'gguf', 'safetensors', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for arguments in (["--help"], ["complete", "--help"], ["train", "--help"], ["--version"], ["models"]):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stderr.strip() == "[]", arguments


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_verbs_options_and_models(shell: str) -> None:
    def complete(words: str) -> str:
        environment = {**os.environ, "_CLEARHEAD_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words}
        environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        environment |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        return subprocess.run(COMMAND, capture_output=True, text=True, env=environment, check=False, timeout=60).stdout

    assert "complete" in complete("clearhead comp")
    assert "--max-new-tokens" in complete("clearhead complete --max-new")
    assert "smollm2-135m-instruct" in complete("clearhead complete --model smol")
    assert "minilm-l6-v2" in complete("clearhead verify mini")
    assert "gpt-shakespeare-char" in complete("clearhead train gpt-sh")


def test_on_a_terminal_headings_are_bold_and_no_color_is_plain() -> None:
    assert "\x1b[1mModel:\x1b[0m" in on_terminal(["complete", "--help"])[0]
    assert "\x1b" not in on_terminal(["complete", "--help"], env={"NO_COLOR": "1"})[0]

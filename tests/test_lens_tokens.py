"""Tokens, and the context window that holds them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clearhead as ch
import tiny
from clearhead.engine.completion import Completion, Sample, Timing, Usage
from clearhead.engine.context_window import Context
from clearhead.errors import OptionError
from clearhead.lens import page as pages
from clearhead.lens.attention import attention_view
from clearhead.lens.lens import Lens
from clearhead.lens.payload import Payload
from clearhead.lens.tokens import Piece, TokensView, check_stack, cut, tokens_in, tokens_of_trace, tokens_view
from clearhead.lens.view import Board, View
from clearhead.lens.window import ContextWindowView, shares, window_of_trace, window_view
from clearhead.text.printable import one_line
from lens_traces import decoder_trace, encoder_trace, translation_trace
from lens_views import HOSTILE, harmless, page_of
from terminal import invoke


def test_the_tokens_of_a_trace_are_marked_and_harmless() -> None:
    trace = decoder_trace(["[CLS]", HOSTILE, " b"], n_prompt=2)
    found = tokens_in(trace, "decoder")
    assert [(t.special, t.generated) for t in found] == [(True, False), (False, False), (False, True)]
    assert found[1].text == one_line(HOSTILE) and found[1].piece == one_line(HOSTILE) and found[1].id == 101
    assert tokens_in(trace, "encoder") == []
    start = decoder_trace(["", " a"])
    start.pieces["decoder"][0] = ""
    assert [(t.text, t.special) for t in tokens_in(start, "decoder")] == [("<100>", True), (" a", False)]
    both = translation_trace()
    assert not any(t.generated for t in tokens_in(both, "encoder"))
    assert [t.generated for t in tokens_in(both, "decoder")] == [False] + [True] * 5


def test_a_text_is_cut_with_bytes_and_specials(tmp_path: Path) -> None:
    tokenizer = ch.load_tokenizer(tiny.bert_folder(tmp_path / "bert"))
    pieces = cut("the book", tokenizer)
    assert [p.special for p in pieces] == [True, False, False, True]
    assert [p.id for p in pieces] == tokenizer.encode("the book")
    assert [p.id for p in cut("the book", tokenizer, special=False)] == [5, 9]
    view = tokens_view(tokenizer, "the book", 3)
    fields, _, tokens = page_of(view)
    assert fields == {
        "type": "tokens",
        "label": "Tokens",
        "title": "Tokens",
        "list": "text",
        "window": 3,
        "bytes": [list(p.data) for p in pieces],
        "dropped": 1,
    }
    assert [t["special"] for t in tokens["text"]] == [True, False, False, True]
    assert "1 do not fit" in str(view)
    assert tokens_view(tokenizer, "the book").dropped == 0


def test_a_model_brings_its_own_window(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "model"))
    view = tokens_view(model, "Hi é")
    assert view.window == model.config.max_positions and model.name in view.title
    assert [p.id for p in view.pieces] == model.tokenizer.encode("Hi é")
    assert "<A9>" in str(view)


def test_what_the_model_wrote_is_marked() -> None:
    trace = decoder_trace(["a", " b", " c"], n_prompt=1)
    view = tokens_of_trace(trace, "decoder")
    fields, _, tokens = page_of(view)
    assert fields["list"] == "decoder"
    assert [t["generated"] for t in tokens["decoder"]] == [False, True, True]
    assert [t["generated"] for t in view.figures["tokens"]] == [False, True, True]
    assert sum("underline" in str(span.style) for span in view.terminal().spans) == 2
    assert "2 written by the model" in str(view)
    assert payload_of(view, attention_view(trace)).tokens.keys() == {"decoder"}  # so that both views can point at one
    harmless(view)


def payload_of(*views: View) -> Payload:
    """Several views on one page."""
    return Board(views, "b").payload()


@pytest.mark.parametrize("stack", ["foo", 5])
def test_a_stack_that_is_not_there_is_refused(stack: Any) -> None:
    for trace in (decoder_trace(), translation_trace()):
        for ask in (check_stack, lambda trace, stack: Lens(trace).tokens(stack)):
            with pytest.raises(OptionError, match=r"stack is .* this model has"):
                ask(trace, stack)
    assert check_stack(translation_trace(), None) == "decoder"


def test_what_the_window_has_no_room_for_is_dim() -> None:
    pieces = [Piece(i, "a", b"a", "a") for i in range(4)]
    shades = [span.style for span in TokensView(pieces=pieces, window=2).terminal().spans if span.style]
    assert shades.count("dim") == 2 + 4 + 1  # two pieces, all ids, the count
    harmless(TokensView(pieces=[Piece(1, HOSTILE, b"", one_line(HOSTILE), True), *pieces], window=2))
    harmless(TokensView(pieces=[], window=2))


def test_tokenize_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "built", lambda name: "")
    folder = tiny.bert_folder(tmp_path / "bert")
    result = invoke("tokenize", "the </script> book", "-m", folder, "--html", tmp_path / "page.html", "--ids")
    assert result.exit_code == 0 and result.stdout.startswith("2 5 ")
    text = (tmp_path / "page.html").read_text()
    header = json.loads(re.findall(r'id="payload">(.*?)</script>', text, re.S)[0])
    assert header["views"][0]["type"] == "tokens" and len(header["tokens"]["text"]) == len(result.stdout.split())


def completion(prompt: int, generated: int, used: int, *, window: int = 100, dropped: int = 0) -> Completion:
    """A completion that used so many tokens."""
    sample = Sample(new_text="x", tokens=(1,) * generated, finish_reason="stop")
    return Completion(
        prompt="p",
        sent="p",
        separator="",
        samples=(sample, sample),
        usage=Usage(prompt_tokens=prompt, completion_tokens=2 * generated),
        context=Context(window=window, used=used, remaining=window - used, dropped=dropped),
        timing=Timing(first_token=0, total=0),
    )


def test_the_window_of_a_decoder_holds_prompt_and_completion() -> None:
    view = window_view(completion(40, 25, 65, dropped=7))
    assert view.segments == [("prompt", 40), ("generated", 25), ("free", 35)]
    fields, _, _ = page_of(view)
    assert {k: fields[k] for k in ("size", "used", "generated", "dropped", "free")} == {
        "size": 100, "used": 65, "generated": 25, "dropped": 7, "free": 35,
    }  # fmt: skip
    assert fields["segments"][1] == {"name": "generated", "tokens": 25}
    assert "7 tokens of the prompt were dropped" in str(view)
    harmless(view)


def test_beside_an_encoder_the_prompt_is_read_elsewhere() -> None:
    view = window_view(completion(40, 25, 26))
    assert view.segments == [("start", 1), ("generated", 25), ("free", 74)]
    assert "40 tokens of the prompt were read by the encoder" in str(view)


def test_a_trace_beside_an_encoder_reads_the_prompt_elsewhere() -> None:
    view = window_of_trace(translation_trace())
    assert (view.used, view.generated, view.apart) == (6, 5, 5)
    assert view.segments[0] == ("start", 1) and "5 tokens of the prompt were read by the encoder" in view.note
    assert window_of_trace(decoder_trace(n_prompt=4)).apart == 0
    assert window_of_trace(encoder_trace()).generated == 0
    with pytest.raises(OptionError, match="completion is 'x'"):
        window_view("x")  # type: ignore[arg-type]


def test_a_real_completion_fills_the_window(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "model"))
    done = model.complete("Hi there", max_new_tokens=5, ignore_eos=True)
    view = window_view(done)
    assert (view.used, view.generated, view.window) == (done.context.used, 5, model.config.max_positions)
    assert view.segments[0] == ("prompt", done.usage.prompt_tokens)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.integers(8, 200))
def test_a_bar_is_as_wide_as_asked_and_shows_every_part(parts: list[int], width: int) -> None:
    columns = shares(parts, width)
    assert sum(columns) == width
    assert all(n >= (part > 0) for n, part in zip(columns, parts, strict=True))
    if sum(parts) > 0:
        largest = max(range(len(parts)), key=lambda i: parts[i])
        assert columns[largest] >= max(columns) - len(parts)


def test_numbers_that_do_not_fit_a_window_are_refused() -> None:
    for used, generated, dropped in ((101, 3, 0), (5, 6, 0), (5, -1, 0), (5, 1, -1)):
        with pytest.raises(OptionError, match="context window of 100"):
            ContextWindowView(window=100, used=used, generated=generated, dropped=dropped)
    harmless(ContextWindowView(window=0, used=0, generated=0))

"""Every picture of every kind of model in every form, on texts as short and as hostile as they come."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import processors

import clearhead as ch
import tiny
from clearhead.config import SpecialTokens
from clearhead.engine.model import Model
from clearhead.errors import ClearheadError, OptionError
from clearhead.lens.lens import page_kinds
from clearhead.lens.payload import dumps
from clearhead.lens.view import Board, View
from models import BY_FAMILY

HOSTILE = "$a$ \u202e</script><script>alert(1)</script> \x1b[31m \u6211\u559c 🙂"
TEXTS = {"one token": "b", "sentence": "the teacher taught the student with the book", "hostile": HOSTILE}


def decoder_of(family: str) -> Callable[[Path], Path]:
    """A decoder of another family, with the vocabulary of bytes."""

    def folder(path: Path) -> Path:
        special = SpecialTokens(bos=256, eos=(256, 258), pad=256)
        return tiny.write(path, tiny.sized(family), tiny.byte_level(), special)

    return folder


def translator(path: Path) -> Path:
    """The first Transformer's encoder and decoder: sinusoids, and a padding token to start with."""
    special = SpecialTokens(eos=(256,), pad=257, decoder_start=257)
    return tiny.write(path, tiny.sized("transformer"), tiny.byte_level(), special)


def headless(path: Path) -> Path:
    """An encoder that only makes vectors."""
    config = replace(BY_FAMILY["bert"], vocab_size=tiny.VOCAB_SIZE, max_positions=128, head="none", head_bias=False)
    tokenizer = tiny.byte_level()
    frame = [("<|im_start|>", 257), ("<|im_end|>", 258)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<|im_start|> $A <|im_end|>", special_tokens=frame)
    return tiny.write(path, config, tokenizer, SpecialTokens(pad=256))


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "gpt2": tiny.gpt2_folder,
    "llama": decoder_of("llama"),
    "bloom": decoder_of("bloom"),
    "t5": tiny.t5_folder,
    "transformer": translator,
    "bert": tiny.bert_folder,
    "headless": headless,
}


@pytest.fixture(scope="module", params=FOLDERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    yield ch.load(FOLDERS[request.param](tmp_path_factory.mktemp("models") / request.param), executor="torch")


def runs(model: Model, text: str) -> Iterator[ch.Trace]:
    """Read alone, continued, and given what to say: what this kind of model can do."""
    kinds = page_kinds(model.config)
    yield model.trace(text, kinds=kinds, **({"max_new_tokens": 0} if model.config.n_decoder_layers else {}))
    if model.config.n_decoder_layers:
        yield model.trace(text, kinds=kinds, max_new_tokens=3)
    if model.config.kind == "encoder-decoder":
        yield model.trace(text, kinds=kinds, target="ab c")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_page_of_every_trace(model: Model, text: str) -> None:
    for trace in runs(model, text):
        board = trace.lens.page()
        html, header = board.html(), json.loads(board.json())
        assert html.count("<script>alert") == 0 and "\u202e" not in html and "\x1b" not in html
        fields = header["views"]
        assert len({view["label"] for view in fields}) == len(fields)
        for view in fields:
            check_keys(view, header)
        types = [view["type"] for view in fields]
        both = trace.config.kind == "encoder-decoder"
        assert types.count("tokens") == types.count("positions") == 1 + both
        assert ("choices" in types) == bool(trace.config.n_decoder_layers and len(trace.tokens) > 1)
        tabs = {view["label"] for view in fields}
        if both:
            assert {"Tokens (encoder)", "Tokens (decoder)", "Positions (encoder)", "Positions (decoder)"} <= tabs
        for stack in trace.stacks():
            listed = [view["list"] for view in fields if view["type"] == "tokens"]
            new = [token["generated"] for token in header["tokens"][listed[trace.stacks().index(stack)]]]
            assert sum(new) == (len(trace.tokens) - trace.n_prompt if stack == "decoder" else 0)
        for view in board.views:
            every_form(view)


def check_keys(value: Any, header: dict[str, Any]) -> None:
    """Every list and array that is named is there."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in ("list", "keysList", "beforeList") and isinstance(item, str):
                assert item in header["tokens"]
            if name.endswith("Key"):
                assert item in header["arrays"]
            check_keys(item, header)
    elif isinstance(value, list):
        for item in value:
            check_keys(item, header)


def every_form(view: View) -> None:
    """In a file, a notebook, a terminal, on paper, and as data."""
    assert view.html() and view._repr_html_().startswith("<iframe")
    assert max(map(len, str(view).splitlines())) <= 200 and "\x1b" not in str(view)
    plain = view.figures
    assert json.loads(dumps(as_data(plain)))
    assert not any(name.endswith("Key") for name in names(plain)), view.type


def as_data(value: Any) -> Any:
    """Plain data as `--json` writes it: tuples and records included."""
    from clearhead.cli.json_output import plain

    return plain(value)


def names(value: Any) -> Iterator[str]:
    """Every key inside plain data."""
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from names(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from names(item)


def test_every_picture_can_be_drawn(model: Model) -> None:
    pytest.importorskip("matplotlib")
    for view in [*runs(model, HOSTILE)][-1].lens.views():
        assert view.svg().startswith("<?xml") and view.png(dpi=40).startswith(b"\x89PNG")


def test_every_method_of_the_lens_of_a_trace(model: Model) -> None:
    trace = [*runs(model, "the teacher with the book")][-1]
    lens, stacks = trace.lens, trace.stacks()
    views: list[View | Board] = [lens.attention(), lens.window(), lens.architecture(), lens.page()]
    views += [lens.attention(0, 0, module=f"{stacks[-1]}.attention", drawing="arcs")]
    for stack in stacks:
        views += [lens.tokens(stack), lens.positions(stack), lens.who(len(trace.ids[stack]) - 1, stack=stack, limit=3)]
        views += [lens.space(stack=stack), lens.space(-1, stack=stack)]
    if model.config.head != "none":
        views += [lens.logit_lens(top=2), lens.choices(top=2)]
    views += [lens.before_after(trace)]
    for view in views:
        assert view.html() and view._repr_html_() and json.loads(view.json())["format"] == "clearhead-lens/1"
        if isinstance(view, View):
            every_form(view)


def test_every_method_of_the_lens_of_a_model(model: Model) -> None:
    lens = model.lens
    views = [lens.architecture(simplified=True), lens.tokens("the book"), lens.positions(), lens.positions("the book")]
    views += [lens.space(["book", "the"]), lens.space(["book"], top=3), lens.space(["book", "the"], 0)]
    views += [lens.influence("the book", probes=1)]
    if model.config.head != "none":
        text = "the [MASK]" if model.config.kind == "encoder" else "the book"
        views += [lens.attribution(text, steps=2, of="logit", method="gradient")]
    if model.config.n_decoder_layers:
        views += [lens.window(model.complete("b", max_new_tokens=2))]
    for view in views:
        every_form(view)


def test_wrong_arguments_are_one_clear_error(model: Model) -> None:
    """Never a KeyError, TypeError, AttributeError or ValueError of what lies below."""
    trace = model.trace("the book", kinds=page_kinds(model.config))
    lens, own = trace.lens, model.lens
    stack = trace.stacks()[-1]
    asks: list[Callable[[], Any]] = [
        lambda: lens.space(stack="foo"),
        lambda: lens.space("x"),  # type: ignore[arg-type]
        lambda: lens.attention("x"),  # type: ignore[arg-type]
        lambda: lens.attention(0, "x", module=f"{stack}.attention"),  # type: ignore[arg-type]
        lambda: lens.attention(full=["path"]),  # type: ignore[list-item]
        lambda: lens.tokens(5),  # type: ignore[arg-type]
        lambda: lens.positions("foo"),
        lambda: lens.who(2.5),  # type: ignore[arg-type]
        lambda: lens.who(["apple"]),  # type: ignore[list-item]
        lambda: lens.who("book", stack="foo"),
        lambda: lens.before_after(5),  # type: ignore[arg-type]
        lambda: own.tokens(5),  # type: ignore[arg-type]
        lambda: own.positions(5),  # type: ignore[arg-type]
        lambda: own.positions(stack="foo"),
        lambda: own.window("x"),  # type: ignore[arg-type]
        lambda: own.space("king"),
        lambda: own.influence("the book", probes="x"),  # type: ignore[arg-type]
        lambda: own.influence(5),  # type: ignore[arg-type]
        lambda: lens.attention().strongest(query="a"),  # type: ignore[arg-type]
        lambda: lens.attention().html("/no/such/folder/x.html"),
    ]
    for ask in asks:
        with pytest.raises(OptionError) as found:
            ask()
        assert "\n" not in str(found.value)
    for ask in (
        lambda: own.attribution("the book", method="magic"),  # type: ignore[arg-type]
        lambda: own.attribution("the book", 2.5),  # type: ignore[arg-type]
        lambda: own.attribution(5),  # type: ignore[arg-type]
        lambda: own.attribution("the book", at="x"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ClearheadError):
            ask()


def test_where_the_last_word_looks_is_asked_of_all_its_tokens(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "m"), executor="torch")
    trace = model.trace("the arianism", kinds=page_kinds(model.config))
    header = json.loads(trace.lens.page().json())
    [who] = [view for view in header["views"] if view["type"] == "who"]
    assert who["wordTokens"] == list(range(4, 12)) and "arianism" in who["title"]
    chinese = model.trace("a \u6211\u559c b", kinds=["weights"])
    assert chinese.lens.who("\u559c").title == 'What "\u559c" attends to'
    assert "\u6211\u559c" in chinese.lens.page().title
    assert chinese.lens.last_word() is not None


def test_a_trace_that_begins_its_answer_asks_about_the_source(tmp_path: Path) -> None:
    model = ch.load(tiny.t5_folder(tmp_path / "m"), executor="torch")
    trace = model.trace("the book", kinds=page_kinds(model.config), max_new_tokens=0)
    assert len(trace.tokens) == 1
    [who] = [view for view in trace.lens.views() if view.type == "who"]
    assert who.payload().views[0]["list"] == "encoder"
    window = next(view for view in trace.lens.views() if view.type == "window")
    assert window.figures["read_by_encoder"] == len(trace.ids["encoder"])


def test_a_table_of_positions_leaves_a_page_small() -> None:
    from functools import partial

    from clearhead.lens.schemes import position_view

    table = np.random.default_rng(0).normal(size=(512, 384)).astype(np.float32)
    config = replace(BY_FAMILY["bert"], max_positions=512)

    def weight_of(_: str, found: Any) -> Any:
        return found

    view = position_view(config, partial(weight_of, found=table), labels=["king", "queen"])
    assert len(view.json()) < 600_000
    fields = json.loads(view.json())["views"][0]
    assert len(fields["labels"]) == 128 and "first 128 positions" in fields["note"]
    assert view.figures["positions"] == 512
    long = position_view(config, partial(weight_of, found=table), labels=["w"] * 300)
    assert len(json.loads(long.json())["views"][0]["labels"]) == 300

"""What travels to a page: every number, harmless text, and nothing that could run or connect."""

import base64
import json
import re
import tracemalloc
import warnings
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens import page as pages
from clearhead.lens import view as views
from clearhead.lens.page import frame, inside_script, page
from clearhead.lens.payload import DTYPES, ROOM, SHORT, Payload, Token, dumps, from_levels, pack, to_levels, unpack
from clearhead.lens.view import Board, View, gather

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOSTILE = [
    "</script><script>alert(1)</script>",
    "</SCRIPT ><img src=x onerror=alert(1)>",
    "<!-- <script>",
    '"><script>alert(1)</script>',
    "' onload='alert(1)",
    "</title></main><h1>",
    "a\u202eb\u2028c\x00d\x1b[2J\r\n",
    "lone \udc80\ud800",
    "&lt;/script&gt; ${x} \\u003c",
]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)


@dataclass(kw_only=True, repr=False)
class Picture(View):
    """A view of one array and one list of tokens."""

    type: ClassVar[str] = "picture"

    array: Any
    name: str = "numbers"
    title: str = "A picture"
    text: str = "a"

    @property
    def figures(self) -> dict[str, Any]:
        return {"numbers": self.array.tolist()}

    def fill(self, payload: Payload) -> dict[str, Any]:
        key = payload.put(self.name, self.array)
        return {"key": key, "list": payload.put_tokens("text", [Token(self.text, self.text, 0)])}

    def draw(self, figure: "Figure") -> None:
        figure.subplots().plot(self.array)

    def terminal(self, width: int = 80) -> Text:
        return Text(self.title)


class Reader(HTMLParser):
    """A page's elements as a parser sees them; the text of scripts apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.title = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data if data.strip() else ""
        if self.elements and self.elements[-1][0] == "title" and not self.title:
            self.title = data


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the built parts, so that these tests need no built page."""
    parts = {"lens.js": 'const a = "</SCRIPT>", b = 1<2;', "lens.css": "body{}", "space.js": "const space = 1;"}
    monkeypatch.setattr(pages, "built", parts.__getitem__)


def back(payload: Payload, name: str) -> Any:
    """An array after its journey."""
    return unpack(json.loads(payload.to_json())["arrays"][name])


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_arrays_of_every_dtype_come_back(dtype: str, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(DTYPES[dtype], SHAPES))
    payload = Payload(title="t")
    found = back(payload, payload.put("x", array, dtype=dtype))
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "numbers", [np.arange(5000.0), np.arange(5000) % 7, np.zeros((0, 3)), np.float64(3.5).reshape(())]
)
def test_long_empty_and_single_arrays_come_back(numbers: Any) -> None:
    payload = Payload(title="t")
    payload.put("x", numbers, dtype="f64")
    np.testing.assert_array_equal(back(payload, "x"), numbers)
    assert payload.arrays["x"].encoding == ("deflate" if numbers.nbytes >= 4096 else "plain")


def test_data_is_little_endian_in_c_order_and_deflated_as_browsers_expect() -> None:
    array = np.asfortranarray(np.arange(2048, dtype=">f4").reshape(2, 1024))
    sent = pack(array)
    assert (sent.dtype, sent.encoding) == ("f32", "deflate")
    assert zlib.decompress(sent.data) == np.arange(2048, dtype="<f4").tobytes()
    assert sent.data[0] & 15 == 8
    assert (sent.data[0] << 8 | sent.data[1]) % 31 == 0  # RFC 1950, which is what browsers call "deflate"


def test_slices_and_other_types_of_numbers_are_read() -> None:
    steps = np.arange(20, dtype=np.int64)[::-3]
    assert unpack({**pack(steps).header(), "data": pack(steps).base64}).tolist() == steps.tolist()
    assert pack(np.array([True, False])).dtype == "u8"
    assert pack(np.float16([1.5])).dtype == "f32"
    nan = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    np.testing.assert_array_equal(unpack({**pack(nan).header(), "data": pack(nan).base64}), nan)


def test_what_a_page_cannot_read_is_refused() -> None:
    for array, dtype in ((np.array(["a"]), None), (np.zeros(2, complex), None), (np.zeros(2), "f16")):
        with pytest.raises(OptionError, match="cannot read"):
            pack(array, dtype)
    for array, dtype in ((np.array([2**31]), None), (np.array([-1]), "u8"), (np.array([2.0**31]), "i32")):
        with pytest.raises(OptionError, match="do not fit"):
            pack(array, dtype)
    with pytest.raises(OptionError, match="do not fit"):
        pack(np.array([np.nan]), "i32")


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(0, 1)))
def test_levels_are_near_the_weights_and_only_zero_is_zero(weights: Any) -> None:
    levels = to_levels(weights)
    found = from_levels(levels)
    half = 0.5 / 255
    bound = 2 * half * np.sqrt(weights) + half**2 + 1e-6
    assert (np.abs(found - weights) <= np.maximum(bound, 1.0001 / 255**2)).all()
    assert ((levels == 0) == (weights == 0)).all()
    order = np.argsort(weights)
    assert (np.diff(levels[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan, np.inf])
def test_levels_are_of_weights_alone(wrong: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        pack(np.array([0.5, wrong], np.float32), levels="sqrt")
    assert pack(np.array([1 + 5e-6], np.float32), levels="sqrt").data == b"\xff"  # a sum's rounding


def test_damaged_arrays_are_refused() -> None:
    whole = {**pack(np.arange(2000.0)).header(), "data": pack(np.arange(2000.0)).base64}
    bomb = base64.b64encode(zlib.compress(bytes(10**8))).decode()
    damages: list[dict[str, Any]] = [
        {"dtype": "f16"},
        {"shape": [2001]},
        {"shape": [1999]},
        {"shape": [-1, -2000]},
        {"encoding": "gzip"},
        {"encoding": "plain"},
        {"data": "%%%"},
        {"data": whole["data"][:400]},
        {"data": base64.b64encode(b"no zlib").decode()},
        {"data": bomb},
    ]
    assert unpack(whole).shape == (2000,)
    tracemalloc.start()
    for damage in damages:
        with pytest.raises(OptionError):
            unpack({**whole, **damage})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6  # the bomb was not let off


def test_what_two_views_share_travels_once_and_what_differs_gets_another_name() -> None:
    one, other = np.arange(3.0), np.arange(4.0)
    views = [Picture(array=one, text="a"), Picture(array=one.copy(), text="a"), Picture(array=other, text="b")]
    payload = gather(views, "t")
    assert [view["key"] for view in payload.views] == ["numbers", "numbers", "numbers (2)"]
    assert [view["list"] for view in payload.views] == ["text", "text", "text (2)"]
    assert back(payload, "numbers (2)").tolist() == other.tolist()
    assert payload.tokens["text (2)"][0].text == "b"


def test_numbers_in_json_are_jsons_own() -> None:
    values = {
        "none": [np.nan, float("inf"), np.float32("-inf")],
        "numbers": (np.int64(3), np.float32(0.5), np.bool_(True), False, None),
        "nested": {1: {"a": np.uint8(255)}},
    }
    assert json.loads(dumps(values)) == {
        "none": [None, None, None],
        "numbers": [3, 0.5, True, False, None],
        "nested": {"1": {"a": 255}},
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str, tmp_path: Path) -> None:
    view = Picture(array=np.arange(3.0), name=text, title=text, text=text)
    plain = Reader(page(Picture(array=np.arange(3.0)).payload()))
    html = view.html(tmp_path / "page.html")
    found = Reader(html)
    assert (tmp_path / "page.html").read_bytes() == html.encode()
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(attributes) for _, attributes in found.elements] == [sorted(a) for _, a in plain.elements]
    header = json.loads(found.scripts[0])
    assert header["tokens"]["text"][0]["text"] == text
    [(name, array)] = header["arrays"].items()
    assert header["views"][0]["key"] == name
    assert [a.get("data-array") for tag, a in found.elements if tag == "script"][1] == name
    assert unpack({**array, "data": found.scripts[1]}).tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_notebook_gets_one_frame_that_is_shut(text: str) -> None:
    view = Picture(array=np.arange(3.0), title=text, text=text)
    found = Reader(view._repr_html_().encode().decode())
    (tag, attributes), *instead = found.elements
    assert tag == "iframe" and attributes["sandbox"] == "allow-scripts allow-downloads"
    assert instead == [("div", {"class": "clearhead-instead"}), ("pre", {}), ("p", {}), ("style", {})]
    inner = attributes["srcdoc"]
    assert inner is not None and json.loads(Reader(inner).scripts[0])["tokens"]["text"][0]["text"] == text


def test_nothing_in_a_page_can_connect() -> None:
    html = page(Picture(array=np.arange(2000.0)).payload())
    found = Reader(html)
    assert not re.search(r"https?://|//\w", re.sub(r"<script.*?</script>", "", html, flags=re.S))
    assert not [a for _, a in found.elements if {"src", "href", "action", "data", "srcset"} & set(a)]
    [policy] = [a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert not re.search(r"https?:|\*|'unsafe-eval'|connect-src|'self'", policy)
    order = [tag for tag, _ in found.elements]
    assert order.index("meta") < order.index("style") < order.index("script")


def test_code_ends_where_its_element_ends() -> None:
    code = 'a<b; x = "</script>"; y = /<\\/script>/; z = "<!--"; w = "</ScRiPt >"; if (i<script.length) {}'
    safe = inside_script(code)
    assert not re.search(r"</script|<!--", safe, re.I)
    assert safe.replace("\\x3c", "<") == code
    assert "a<b" in safe and "i<script.length" in safe


def test_only_views_in_space_bring_the_script_for_it() -> None:
    payload = Picture(array=np.zeros(1)).payload()
    assert "const space" not in page(payload)
    payload.views.append({"type": "space", "title": "t"})
    assert "const space" in page(payload)


def test_the_same_view_gives_the_same_bytes() -> None:
    def make() -> Picture:
        return Picture(array=np.arange(3000.0), text="the")

    assert make().html() == make().html() and make().json() == make().json()
    assert frame(make().payload(), 100) == frame(make().payload(), 100)
    board = Board([make(), make()], "two")
    assert board.html() == Board([make(), make()], "two").html()
    assert [view["type"] for view in json.loads(board.json())["views"]] == ["picture", "picture"]


def test_drawings_are_repeated_to_the_byte(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    view = Picture(array=np.arange(5.0))
    assert view.png(tmp_path / "a.png") == view.png() == (tmp_path / "a.png").read_bytes()
    assert view.png().startswith(b"\x89PNG")
    assert view.svg(tmp_path / "a.svg") == view.svg() == (tmp_path / "a.svg").read_text()


def test_a_view_shows_itself_as_text() -> None:
    view = Picture(array=np.zeros(1), title="[bold]x[/bold] :smile:")
    assert str(view) == "[bold]x[/bold] :smile:"
    assert repr(view) == "<Picture: [bold]x[/bold] :smile:>"
    assert repr(Board([view], "b")) == "<b: picture>"


def test_one_warning_says_which_characters_have_no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(views, "fonts", lambda: ["DejaVu Sans"])

    class Words(Picture):
        def draw(self, figure: "Figure") -> None:
            figure.text(0.5, 0.5, "a\u8001\u5e08")
            warnings.warn("another", stacklevel=1)

    with pytest.warns(UserWarning) as found:
        Words(array=np.zeros(1)).png()
    assert sorted(str(w.message)[:28] for w in found) == ["another", "this machine has no font for"]
    assert any("\u8001\u5e08" in str(w.message) for w in found)
    with pytest.warns(UserWarning) as found:
        assert "\u8001\u5e08" in Words(array=np.zeros(1)).svg()
    assert [str(w.message) for w in found] == ["another"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    view = Picture(array=np.zeros(2))
    nowhere = tmp_path / "missing" / "a"
    for write in (view.html, view.json, view.svg, view.png, Board([view], "b").html, Board([view], "b").json):
        with pytest.raises(OptionError, match=f"cannot write .*{nowhere.name}: No such file"):
            write(nowhere)


def test_a_view_can_have_another_name_on_its_tab() -> None:
    view = Picture(array=np.zeros(2))
    payload = Board([view, view.named("Picture (encoder)")], "b").payload()
    assert [fields["label"] for fields in payload.views] == ["Picture", "Picture (encoder)"]
    assert view.tab == "Picture"


def test_a_notebook_has_less_room_than_a_file() -> None:
    found = []

    class Asking(Picture):
        def fill(self, payload: Payload) -> dict[str, Any]:
            found.append(payload.room)
            return super().fill(payload)

    view = Asking(array=np.zeros(2))
    view.html(), view._repr_html_(), Board([view], "b").html(), Board([view], "b")._repr_html_()
    assert found == [ROOM, SHORT] * 2 and SHORT < ROOM / 8

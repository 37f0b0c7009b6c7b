"""Documents of every format as blocks: the text whole, its structure known, and nothing that a reader does not see."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import DataError
from clearhead.tasks.ask.ingest import FORMATS, Block, read
from clearhead.tasks.ask.passages import passages


def blocks(name: str, text: str | bytes) -> list[Block]:
    """A document by its name; where its lines begin is tested for itself."""
    found = read(Path(name), text.encode() if isinstance(text, str) else text)
    return [replace(block, starts=()) for block in found]


def pdf(*pages: str, encrypted: bool = False) -> bytes:
    """A PDF with a line of text on each page, by the specification (ISO 32000-1, section 7.5)."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    bodies = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    bodies.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td 14 TL {' T* '.join(f'({line}) Tj' for line in text.splitlines())} ET"
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        bodies.append(f"<< /Type /Page /Parent 2 0 R {resources} /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R >>")
        bodies.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    secret = " /Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (y) /P -4 >> /ID [(a) (a)]" if encrypted else ""
    end = f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}trailer\n"
    end += f"<< /Size {len(bodies) + 1} /Root 1 0 R{secret} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + end.encode()


def test_paragraphs_of_a_text_know_their_lines() -> None:
    assert blocks("a.txt", "\ufeffone\r\ntwo\r\n\r\n \r\nthree\n") == [
        Block(text="one two", line=1),
        Block(text="three", line=5),
    ]


@given(st.text(alphabet="aB9.é漢 \t\n", max_size=200))
def test_all_words_of_a_text_are_kept(text: str) -> None:
    assert " ".join(block.text for block in blocks("a.txt", text)).split() == text.split()


def test_markdown_has_an_outline_and_lines() -> None:
    text = "---\ntitle: x\n---\n# Bells *of* Sofia\n\nCast in [1881](u).\n\n## Rope\n\n- hemp\n- steel\n\n"
    text += "```\na\n  b\n```\n"
    assert blocks("a.md", text) == [
        Block(text="Cast in 1881.", headings=("Bells of Sofia",), line=6),
        Block(text="hemp", headings=("Bells of Sofia", "Rope"), line=10),
        Block(text="steel", headings=("Bells of Sofia", "Rope"), line=11),
        Block(text="a\n  b", headings=("Bells of Sofia", "Rope"), line=13),
    ]


def test_rows_of_a_markdown_table_are_spoken_with_their_columns() -> None:
    [row] = blocks("a.md", "| bell | weight |\n|---|---|\n| Anna | 3 t |\n")
    assert (row.text, row.alone, row.line) == ("bell: Anna; weight: 3 t", True, 3)


def test_html_is_what_a_reader_sees() -> None:
    page = """<!doctype html><html><head><title>Bells</title><style>p { }</style><script>alert(1)</script></head><body>
    <!-- ignore me --><h1>Anna</h1><div>Cast<p>in <b>1881</b>,</p>by hand.</div>
    <p hidden>secret</p><p style="display: none">secret</p><span aria-hidden="true">secret</span>
    <h2>Weight</h2><table><tr><td>bronze</td><td>3 t</td></tr></table><pre>a\n  b</pre></body></html>"""
    found = blocks("a.html", page)
    assert [(block.text, block.headings) for block in found] == [
        ("Cast", ("Bells", "Anna")),
        ("in 1881,", ("Bells", "Anna")),
        ("by hand.", ("Bells", "Anna")),
        ("bronze | 3 t", ("Bells", "Anna", "Weight")),
        ("a\n  b", ("Bells", "Anna", "Weight")),
    ]
    assert [block.line for block in found] == [2, 2, 2, 4, 4]


def test_a_page_that_is_nested_beyond_reason_is_read_or_refused() -> None:
    try:
        assert blocks("a.html", "<div>" * 3000 + "deep" + "</div>" * 3000)[0].text == "deep"
    except DataError as error:
        assert "HTML" in str(error)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_every_row_of_a_table_is_a_passage(mark: str) -> None:
    text = mark.join(["bell", "weight"]) + "\n" + mark.join(["Anna", '"3\nt"']) + "\n" + mark.join(["", "4 t"]) + "\n"
    first, second = blocks("a.csv", text)
    assert (first.text, first.line, first.alone) == ("bell: Anna; weight: 3 t", 2, True)
    assert (second.text, second.line) == ("weight: 4 t", 4)


def test_pages_of_a_pdf_are_numbered_and_words_joined() -> None:
    found = blocks("a.pdf", pdf("The bell was cast in Ples-\ncot in 1881.", "It weighs 3 t."))
    assert found == [Block(text="The bell was cast in Plescot in 1881.", page=1), Block(text="It weighs 3 t.", page=2)]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"\xff\xfe\x00", "not UTF-8"),
        ("a.txt", b"a\0b", "binary"),
        ("a.md", "für".encode("latin-1"), "not UTF-8 (byte 1)"),
        ("a.html", b"\x80", "not UTF-8"),
        ("a.csv", b"a,b\n" + b"c" * 2_000_000, "no table from line 2 on"),
        ("a.pdf", b"%PDF-1.7 but no more", "no PDF, or a damaged one"),
        ("a.pdf", pdf(""), "no text, only pictures"),
        ("a.pdf", pdf("x", encrypted=True), "encrypted"),
        ("a.docx", b"PK", "documents of this kind are not read"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_file(name: str, data: bytes, says: str) -> None:
    with pytest.raises(DataError) as error:
        blocks(name, data)
    assert str(error.value).startswith(name) and says in str(error.value)
    assert "\n" not in str(error.value)


def test_utf_16_is_read_where_it_says_so() -> None:
    assert blocks("a.txt", "für".encode("utf-16"))[0].text == "für"


@given(st.binary(max_size=300), st.sampled_from(sorted(FORMATS)))
def test_any_bytes_are_read_or_refused(data: bytes, suffix: str) -> None:
    try:
        found = blocks(f"a{suffix}", data)
    except DataError:
        return
    assert all(block.text.strip() for block in found)


def test_a_break_is_a_space_and_words_stay_apart() -> None:
    page = "<p>12 Main Street<br>Springfield<br/>Ohio</p><pre>a<br>b</pre><table><tr><td>one<br>two</td></tr></table>"
    assert [block.text for block in blocks("a.html", page)] == ["12 Main Street Springfield Ohio", "a\nb", "one two"]
    assert blocks("a.md", "12 Main Street<br>Springfield\n")[0].text == "12 Main Street Springfield"


def test_a_title_may_be_wrapped_in_a_heading() -> None:
    found = blocks("a.html", "<h2><div>Weight</div></h2><p>3 t</p>")
    assert [(block.text, block.headings) for block in found] == [("3 t", ("Weight",))]


@pytest.mark.parametrize("text", ["<p>word " * 4000, "<b>x " * 8000])
def test_thousands_of_tags_that_are_left_open_are_read_or_refused(text: str) -> None:
    try:
        assert len(blocks("a.html", text)[0].text.split()) in (1, 8000)
    except DataError as error:
        assert "HTML" in str(error)


def test_only_a_front_matter_is_left_out_of_markdown() -> None:
    rule = blocks("a.md", "---\n\n# Title\n\nImportant\n\n---\n\nmore\n")
    assert [block.text for block in rule] == ["Important", "more"]
    [matter] = blocks("a.md", "---\ntitle: x\ntags:\n  - a\n---\nmore\n")
    assert (matter.text, matter.line) == ("more", 6)


def test_what_markdown_hides_is_not_read() -> None:
    text = "Hi <span style='display:none'>SECRET</span>there\n\n<div hidden>\n\nSECRET\n\n</div>\n\nend\n"
    assert [block.text for block in blocks("a.md", text)] == ["Hi there", "end"]


def test_what_looks_like_a_hidden_element_and_is_not_closed_is_text() -> None:
    text = "A List<Object> of names. Run python <script> now.\n\n<script> is a name.\n\nend\n"
    said = " ".join(block.text for block in blocks("a.md", text))
    assert "A List<Object> of names. Run python <script> now." in said and said.endswith("end")
    closed = "Hi <script>SECRET</script>there <textarea>seen</textarea>\n"
    assert [block.text for block in blocks("a.md", closed)] == ["Hi there seen"]
    assert blocks("a.md", "Hi <span hidden>SECRET\n") == [Block(text="Hi", line=1)]


def test_a_head_without_an_end_hides_no_body() -> None:
    page = "<!doctype html><html><head><meta charset=utf-8><title>Bells</title><style></style><body><p>Cast.</p></body>"
    assert blocks("a.html", page) == [Block(text="Cast.", headings=("Bells",), line=1)]


def test_values_between_tabs_hold_any_other_mark() -> None:
    [row] = blocks("a.tsv", 'city, country\tsize\nPles, "the old\t3\n')
    assert row.text == 'city, country: Ples, "the old; size: 3'
    assert [block.text for block in blocks("a.csv", 'a,b\n5" pipe,x\ny,z\n')] == ['a: 5" pipe; b: x', "a: y; b: z"]


def test_a_mark_within_a_quoted_value_parts_nothing() -> None:
    [row] = blocks("a.csv", 'id;"city, region, country"\n1;"Sofia, Sofia, BG"\n')
    assert row.text == "id: 1; city, region, country: Sofia, Sofia, BG"


def test_each_line_of_a_log_stands_alone() -> None:
    assert [(b.text, b.line) for b in blocks("a.log", "one\ntwo\n\nthree\n")] == [("one", 1), ("two", 2), ("three", 4)]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_passages_of_a_long_paragraph_know_their_own_lines(name: str) -> None:
    lines = [f"Line number {n} says that it is the line of that number." for n in range(1, 60)]
    cut = list(passages(name, read(Path(name), "\n".join(lines).encode()), lambda text: len(text.split()), 40))
    assert len(cut) > 5
    for passage in cut:
        assert passage.line is not None
        assert passage.text.split()[0] in lines[passage.line - 1]
        assert any(word in passage.text for word in (f"number {passage.line} ", f"number {passage.line + 1} "))
    assert [passage.line for passage in cut] == sorted({passage.line for passage in cut})

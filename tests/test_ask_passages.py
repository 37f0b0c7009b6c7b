"""Documents cut into passages: all of the text, in order, within the size, never across a heading."""

from hypothesis import given
from hypothesis import strategies as st

from clearhead.tasks.ask.ingest import Block
from clearhead.tasks.ask.passages import Passage, passages

WORDS = st.lists(st.sampled_from(["alpha", "beta.", "gamma!", "delta,", "word"]), min_size=1, max_size=60).map(" ".join)
BLOCKS = st.lists(
    st.builds(
        Block,
        text=WORDS,
        headings=st.sampled_from([(), ("One",), ("One", "Two"), ("Three",)]),
        line=st.integers(1, 99),
        alone=st.booleans(),
    ),
    max_size=8,
)


def count(text: str) -> int:
    """A word is a token."""
    return len(text.split())


@given(BLOCKS, st.integers(4, 40))
def test_all_words_are_in_exactly_one_passage(blocks: list[Block], size: int) -> None:
    found = list(passages("a", blocks, count, size))
    assert " ".join(each.text for each in found).split() == " ".join(block.text for block in blocks).split()


@given(BLOCKS, st.integers(8, 40))
def test_no_passage_is_too_long_or_crosses_a_heading(blocks: list[Block], size: int) -> None:
    for each in passages("a", blocks, count, size):
        assert count(each.text) + count(" > ".join(each.headings)) <= size
        assert each.headings in {block.headings for block in blocks}


def test_neighbours_share_a_passage_and_rows_do_not() -> None:
    blocks = [Block(text="one", line=1), Block(text="two", line=3), Block(text="row", line=4, alone=True)]
    assert [(p.text, p.line) for p in passages("a", blocks, count)] == [("one\ntwo", 1), ("row", 4)]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "One two three. Four five six. Seven eight nine."
    assert [p.text for p in passages("a", [Block(text=text)], count, 6)] == [
        "One two three. Four five six.",
        "Seven eight nine.",
    ]


def test_a_passage_says_where_it_stands() -> None:
    assert Passage(file="a.md", text="x", line=3).place == "a.md:3"
    assert Passage(file="a.pdf", text="x", page=3).place == "a.pdf, page 3"
    assert Passage(file="a", text="x", headings=("One", "Two")).whole == "One > Two\nx"

"""The fewest pieces of a vocabulary that spell a text."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clearhead.text.fewest import FewestPieces


class Marked:
    """Normalises as SentencePiece does: blanks in one, words marked."""

    def normalize(self, text: str) -> str:
        return "".join(f"▁{word}" for word in text.split())


def cut(text: str, *pieces: str) -> list[str]:
    return FewestPieces(Marked(), {*pieces}).encode(text)


def test_the_fewest_pieces_and_of_as_few_the_most_uneven() -> None:
    letters = ["▁", *"Teachrsglowin"]
    assert cut("Teachers", *letters, "▁Te", "ach", "ers", "▁Teacher", "s", "▁Teachers") == ["▁Teachers"]
    assert cut("Teachers", *letters, "▁Te", "achers", "▁Teacher", "s") == ["▁Teacher", "s"]
    assert cut("glowing", *letters, "▁glow", "ing", "▁glo", "wing") == ["▁glow", "ing"]


def test_what_no_piece_spells_stands_alone() -> None:
    assert cut("a\u00e9b", "▁a", "b") == ["▁a", "\u00e9", "b"]
    assert cut("", "▁a") == []


@given(st.text("ab ", max_size=24), st.sets(st.text("ab▁", min_size=1, max_size=4), max_size=12))
def test_no_other_way_takes_fewer(text: str, pieces: set[str]) -> None:
    """Against every way there is."""
    known, spelled = {"▁", "a", "b", *pieces}, Marked().normalize(text)
    found = FewestPieces(Marked(), known).encode(text)
    assert "".join(found) == spelled and all(piece in known for piece in found)
    fewest = {0: 0}
    for end in range(1, len(spelled) + 1):
        fewest[end] = min(fewest[start] + 1 for start in range(end) if spelled[start:end] in known)
    assert len(found) == fewest[len(spelled)]
    assert not any(a + b in known for a, b in pairwise(found))

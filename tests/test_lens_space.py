"""Words as points: angles, distances and components against plain definitions, and a vocabulary against brute force."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import clearhead as ch
import real
import tiny
from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.lens.neighbours import (
    Vocabulary,
    analogy,
    embedding_space,
    frame,
    neighbours,
    spell,
    vocabulary,
    word_vectors,
)
from clearhead.lens.payload import unpack
from clearhead.lens.reduction import pca
from clearhead.lens.space import Near, Space, of_trace, space
from clearhead.lens.vectors import angles, cosines, distances, relation
from clearhead.trace import Trace

NUMBERS = st.floats(-1e3, 1e3, width=32)
CLOUDS = st.tuples(st.integers(1, 9), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=NUMBERS)
)
ROYAL = {  # axes: royalty, gender, fruit
    "king": [1.0, 1.0, 0.0],
    "queen": [1.0, -1.0, 0.0],
    "man": [0.1, 1.0, 0.0],
    "woman": [0.1, -1.0, 0.0],
    "apple": [0.0, 0.1, 1.0],
}


def royal(**options: Any) -> Space:
    """Five words that an analogy holds for."""
    return space(list(ROYAL), np.array(list(ROYAL.values())), **options)


@given(cloud=CLOUDS)
@settings(max_examples=80, deadline=None)
def test_cosines_angles_and_distances_are_what_their_names_say(cloud: np.ndarray) -> None:
    c, a, d = cosines(cloud), angles(cloud), distances(cloud)
    assert (c == c.T).all() and (d == d.T).all() and (a == a.T).all()
    assert (np.abs(c) <= 1).all() and (a >= 0).all() and (a <= math.pi + 1e-12).all()
    assert (np.diagonal(d) == 0).all()
    assert np.allclose(np.cos(a), c, atol=1e-12)
    for i, u in enumerate(cloud):
        for j, v in enumerate(cloud):
            assert d[i, j] == pytest.approx(math.dist(u, v), rel=1e-12)
            length = math.hypot(*u) * math.hypot(*v)
            assert c[i, j] == pytest.approx(sum(u * v) / length if length > 1e-30 else c[i, j], abs=1e-9)


def test_angles_of_45_60_90_and_180_degrees() -> None:
    def between(a: list[float], b: list[float]) -> float:
        return relation(np.array(a), np.array(b)).angle_degrees

    assert between([1, 0], [3, 3]) == pytest.approx(45)
    assert between([1, 0, 0], [1, math.sqrt(3), 0]) == pytest.approx(60)
    assert between([0, 2], [5, 0]) == pytest.approx(90)
    assert between([1, 2], [-2, -4]) == pytest.approx(180)
    assert between([1, 2], [1, 2]) == 0
    # Where the arc cosine would give 0 or a millionth of a degree.
    assert between([1, 0], [1, 1e-9]) == pytest.approx(math.degrees(1e-9), rel=1e-6)


def test_a_vector_of_length_0_has_no_direction() -> None:
    found = relation(np.zeros(3), np.array([3.0, 0, 4]))
    assert (found.cosine, found.angle_degrees, found.distance) == (0, 90, 5)


@given(cloud=CLOUDS)
@settings(max_examples=80, deadline=None)
def test_principal_components(cloud: np.ndarray) -> None:
    points, explained = pca(cloud)
    assert points.shape == (len(cloud), 3) and explained.shape == (3,)
    assert (explained >= 0).all() and (np.diff(explained) <= 1e-12).all() and explained.sum() <= 1 + 1e-9
    assert np.allclose(points.mean(axis=0), 0, atol=1e-6)
    products = points.T @ points
    assert np.allclose(products, np.diag(np.diagonal(products)), atol=1e-6 * max(1.0, products.max()))
    if cloud.shape[1] <= 3:  # nothing is left out, so that nothing may move
        assert np.allclose(distances(points), distances(cloud), atol=1e-6)


@given(cloud=CLOUDS, shift=NUMBERS)
@settings(max_examples=40, deadline=None)
def test_components_do_not_mind_where_the_vectors_lie(cloud: np.ndarray, shift: float) -> None:
    strengths = np.linalg.svd(cloud - cloud.mean(axis=0), compute_uv=False)
    kept = np.concatenate([strengths, [0.0]])[:4]
    assume((np.abs(np.diff(kept)) > 1e-3).all())  # equal strengths share a plane, in which every turn is as good
    assert np.allclose(np.abs(pca(cloud)[0]), np.abs(pca(cloud + shift)[0]), atol=1e-3)
    assert np.array_equal(pca(cloud)[0], pca(cloud.copy())[0])


def test_components_are_turned_to_their_largest_part() -> None:
    line = np.outer(np.arange(4.0), [1.0, -5.0, 2.0])
    points, explained = pca(line)
    assert explained == pytest.approx([1, 0, 0])
    assert (np.diff(points[:, 0]) < 0).all()  # -5 is the largest part, so the axis points against the line
    assert (points[:, 1:] == 0).all()
    assert np.array_equal(pca(-line)[0][:, 0], -points[:, 0])


def test_one_word_and_equal_words_are_points_too() -> None:
    assert space(["a"], np.ones((1, 5))).points.tolist() == [[0, 0, 0]]
    equal = space(["a", "b"], np.full((2, 5), 0.1))
    assert (equal.points == 0).all() and equal.explained == (0, 0, 0)
    assert equal.terminal().plain


def test_between_nearest_and_analogy() -> None:
    view = royal()
    found = view.between("king", "queen")
    assert found == relation(np.array(ROYAL["king"]), np.array(ROYAL["queen"]))
    assert (found.cosine, found.angle_degrees, found.distance) == pytest.approx((0, 90, 2), abs=1e-12)
    assert [near.label for near in view.nearest("king", 2)] == ["man", "apple"]
    assert view.nearest("king")[0].cosine == pytest.approx(view.cosines[0, 2])
    assert view.analogy("man", "king", "woman")[0].label == "queen"
    assert {near.label for near in view.analogy("man", "king", "woman")} == {"queen", "apple"}
    assert view.between(0, 1) == found


def test_a_word_that_is_not_there_is_named() -> None:
    for ask in (lambda: royal().between("king", "pear"), lambda: royal().nearest("pear")):
        with pytest.raises(OptionError, match="'pear' is not among the words; they are king, queen"):
            ask()
    with pytest.raises(OptionError, match="5 is not among"):
        royal().between(0, 5)


@pytest.mark.parametrize(
    ("words", "vectors", "options", "message"),
    [
        ([], np.ones((0, 3)), {}, "a list of 1 to"),
        ("king", np.ones((4, 3)), {}, "a list of 1 to"),
        (["a", "b"], np.ones((3, 2)), {}, r"2 words need as many vectors, not an array of shape \[3, 2\]"),
        (["a"], np.ones(3), {}, r"shape \[3\]"),
        (["a", "b"], np.array([[1, np.nan], [0, 1]]), {}, "not finite"),
        (["a", "b"], np.eye(2), {"method": "tsne"}, "method is 'tsne'; choose from pca, umap"),
        (["a", "b"], np.eye(2), {"groups": [1]}, "as many groups"),
        (["a", "b"], np.eye(2), {"method": "umap"}, "at least 5 words, and was given 2"),
    ],
)
def test_what_is_no_space_is_refused(words: Any, vectors: Any, options: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        space(words, vectors, **options)


def test_umap_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UnsupportedError, match=r'pip install "clearhead\[umap\]"'):
        royal(method="umap")


def test_umap_keeps_groups_apart_and_repeats() -> None:
    pytest.importorskip("umap")
    random = np.random.default_rng(0)
    vectors = np.concatenate([random.normal(centre, 0.1, (12, 6)) for centre in (np.eye(6)[0], np.eye(6)[3])])
    words = [f"w{i}" for i in range(24)]
    view = space(words, vectors, method="umap")
    assert view.explained is None
    assert np.array_equal(view.points, space(words, vectors, method="umap").points)
    near = distances(view.points)
    assert near[:12, :12].mean() < near[:12, 12:].mean()


def test_the_page_gets_points_and_relations() -> None:
    view = royal(groups=[0, 0, 1, 1, 2], model="a model")
    data = json.loads(view.json())
    [fields] = data["views"]
    assert data["model"] == {"name": "a model"}
    assert (fields["type"], fields["method"], fields["space"]) == ("space", "pca", "input embedding")
    assert fields["labels"] == list(ROYAL) and fields["colours"] == [0, 0, 1, 1, 2]
    assert np.allclose(unpack(data["arrays"][fields["pointsKey"]]), view.points, atol=1e-6)
    assert np.allclose(unpack(data["arrays"][fields["cosineKey"]]), view.cosines, atol=1e-6)
    assert np.allclose(unpack(data["arrays"][fields["distanceKey"]]), view.distances, atol=1e-6)
    assert fields["neighbours"][0][0]["label"] == "man"
    assert sum(fields["explained"]) == pytest.approx(1)


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_the_terminal_form_fits(width: int, n: int) -> None:
    words = ["\x1b[2Jred", "中文", *(f"word{i}" for i in range(38))][:n]
    text = space(words, np.random.default_rng(1).normal(size=(n, 8))).terminal(width)
    from rich.cells import cell_len

    assert max(map(cell_len, text.plain.splitlines())) <= width
    assert "\x1b" not in text.plain


def test_the_terminal_form_shows_cosines_and_words() -> None:
    shown = str(royal())
    assert " 0.774" in shown  # king and man
    assert all(f"• {word}" in shown for word in ("queen", "woman", "apple"))
    assert "near king: man 0.77" in shown


def test_the_drawing_names_every_word() -> None:
    pytest.importorskip("matplotlib")
    drawn = space(["$x", "b&b", "c"], np.eye(3)).svg()
    assert "$x" in drawn and "b&amp;b" in drawn and "of the variance" in drawn


# With a model.


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return ch.load(tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "decoder"), executor="torch")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return ch.load(tiny.bert_folder(tmp_path_factory.mktemp("models") / "encoder"), executor="torch")


def test_the_nearest_tokens_are_those_of_brute_force(encoder: Model) -> None:
    matrix = encoder.executor.embeddings().astype(float)
    own = encoder.tokenizer.token_id("teacher")
    assert own is not None
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(matrix[own])
    scores = matrix @ matrix[own] / lengths
    wanted = [5, 7, 8, 9, 10, 11]  # all that is no special token, nor the word itself
    wanted.sort(key=lambda token: -scores[token])
    found = neighbours(encoder, "teacher", 100)
    assert [near.id for near in found] == wanted
    assert [near.cosine for near in found] == pytest.approx(scores[wanted].tolist())
    assert [near.piece for near in found] == encoder.tokenizer.pieces(wanted)
    assert [near.id for near in neighbours(encoder, "teacher", 3)] == wanted[:3]


def test_the_words_own_spellings_are_no_answer_unless_asked_for(decoder: Model) -> None:
    labels = {near.label for near in neighbours(decoder, "b", 100)}
    assert not labels & {"b", "B"} and "c" in labels
    first, *rest = neighbours(decoder, "b", 299, spellings=True)
    assert (first.label, first.cosine) == ("b", pytest.approx(1)) and "B" in {near.label for near in rest}


def test_a_vocabulary_is_searched_in_chunks(monkeypatch: pytest.MonkeyPatch, decoder: Model) -> None:
    whole = neighbours(decoder, "a", 20)
    monkeypatch.setattr("clearhead.lens.neighbours.CHUNK", 7)
    parts = neighbours(decoder, "a", 20)
    assert [near.id for near in parts] == [near.id for near in whole]
    assert [near.cosine for near in parts] == pytest.approx([near.cosine for near in whole])


def test_a_words_vector_is_the_mean_of_its_tokens(decoder: Model) -> None:
    table = dict(decoder.checkpoint.weights())["embed.tokens.weight"].astype(np.float32)
    ids = decoder.tokenizer.encode("abc")
    assert spell(decoder, " abc ").ids == ids  # bytes: the space before it would be a token more
    assert np.allclose(word_vectors(decoder, ["abc"])[0], table[ids].mean(axis=0), atol=1e-6)


def test_a_space_goes_before_a_word_where_it_costs_nothing(encoder: Model) -> None:
    class Spaced:
        special_ids: frozenset[int] = frozenset()

        def encode(self, text: str, **_: Any) -> list[int]:
            return [1] if text == " king" else [2] if text == "king" else [3, 4]

    model = type("", (), {"tokenizer": Spaced(), "special": encoder.special, "name": "m"})()
    assert spell(model, "king").ids == [1]


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_the_vector_after_a_layer_is_the_mean_of_its_states(layer: int, encoder: Model, decoder: Model) -> None:
    framed = [2, 6, 10, 3]  # [CLS] teacher ##s [SEP]
    path = f"encoder.layers.{layer % 2}.output"
    trace = Trace(encoder.config, kinds=[path])
    encoder.executor.encode([framed], trace=trace)
    assert np.allclose(word_vectors(encoder, ["teachers"], layer)[0], trace[path][1:3].mean(axis=0), atol=1e-5)

    word = spell(decoder, "xy")
    assert frame(decoder, word) == ([256, *word.ids], 1)  # after the token that begins texts
    path = f"decoder.layers.{layer % 2}.output"
    trace = Trace(decoder.config, kinds=[path])
    decoder.executor.decode([[256, *word.ids]], trace=trace)
    assert np.allclose(word_vectors(decoder, ["xy"], layer)[0], trace[path][1:].mean(axis=0), atol=1e-5)


def test_an_encoder_beside_a_decoder_reads_the_words(tmp_path: Path) -> None:
    model = ch.load(tiny.t5_folder(tmp_path / "model"), executor="torch")
    word = spell(model, "ab")
    assert frame(model, word) == ([*word.ids, 256], 0)
    assert embedding_space(model, ["ab", "c"], 1).where == "layer 1"


def test_an_analogy_is_nearest_to_b_minus_a_plus_c(decoder: Model) -> None:
    known = vocabulary(decoder)
    a, b, c = (known.vector(decoder.tokenizer.encode(word)).astype(float) for word in "abc")
    wanted = b / np.linalg.norm(b) - a / np.linalg.norm(a) + c / np.linalg.norm(c)
    found = analogy(decoder, "a", "b", "c", 4)
    assert (found.a, found.b, found.c) == ("a", "b", "c")
    assert [near.id for near in found.results] == [near.id for near in known.nearest(wanted, 4, "abc")]
    assert not {near.label.lower() for near in found.results} & {"a", "b", "c"}


def test_one_word_is_shown_among_its_neighbours(encoder: Model) -> None:
    view = embedding_space(encoder, ["teacher"], top=3)
    assert view.words == ("teacher", *(near.label for near in view.neighbours[0]))
    assert view.groups == (0, 1, 1, 1)
    assert [near.cosine for near in view.neighbours[0]] == pytest.approx(view.cosines[0, 1:].tolist(), abs=1e-6)


def test_several_words_have_the_neighbours_of_the_vocabulary(encoder: Model) -> None:
    view = embedding_space(encoder, ["book", "teacher", "book"], top=2, analogies=[("the", "book", "teacher")])
    assert view.words == ("book", "teacher")  # each once
    assert [list(near) for near in view.neighbours] == [neighbours(encoder, w, 2) for w in ("book", "teacher")]
    assert view.analogies == (analogy(encoder, "the", "book", "teacher", 2),)
    assert json.loads(view.json())["views"][0]["analogies"][0]["b"] == "book"


def test_after_a_layer_words_are_compared_with_each_other(encoder: Model) -> None:
    view = embedding_space(encoder, ["book", "with"], -1, analogies=[("the", "book", "teacher")])
    assert view.words == ("book", "with", "the", "teacher") and view.where == "layer 1"
    assert [near.label for near in view.analogies[0].results] == ["with"]
    assert np.allclose(view.vectors, word_vectors(encoder, view.words, 1))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: neighbours(m, ""), "the word '' is empty"),
        (lambda m: neighbours(m, "  "), "is empty"),
        (lambda m: neighbours(m, "xylophone"), "no pieces that spell 'xylophone'"),
        (lambda m: neighbours(m, "book", 0), "top is 0"),
        (lambda m: word_vectors(m, "book"), "words is 'book'; it must be a list"),
        (lambda m: word_vectors(m, []), "must be a list"),
        (lambda m: word_vectors(m, ["book"], 2), "layer is 2; the encoder of .* has layers 0 to 1"),
        (lambda m: word_vectors(m, ["book"], -3), "layer is -3"),
        (lambda m: word_vectors(m, ["book"], True), "layer is True"),
        (lambda m: embedding_space(m, ["book"], 1), "give several"),
    ],
)
def test_impossible_questions_name_what_is_wrong(ask: Any, message: str, encoder: Model) -> None:
    with pytest.raises(OptionError, match=message):
        ask(encoder)


def test_ids_that_no_piece_has_are_no_neighbours(encoder: Model) -> None:
    known = Vocabulary(matrix=np.ones((300, 4), np.float32), tokenizer=encoder.tokenizer)
    assert [near.id for near in known.nearest(np.ones(4), 299)] == [5, 6, 7, 8, 9, 10, 11]
    assert known.nearest(np.ones(4), 1) == [Near(label="the", cosine=pytest.approx(1), piece="the", id=5)]


def test_the_tokens_of_a_text_are_points(decoder: Model, encoder: Model) -> None:
    trace = decoder.trace("a b", max_new_tokens=2)
    view = of_trace(trace, -1, stack="decoder")
    assert np.array_equal(view.vectors, trace["decoder.layers.1.output"]) and view.where == "layer 1"
    assert view.words[0] == "a" and view.groups is not None and view.groups[:3] == (0, 0, 0) and len(view.words) == 5
    assert view.group_names[0] == "given" and view.group_names[view.groups[3]] in ("written by the model", "special")
    words = of_trace(encoder.trace("the book"), stack="encoder")
    assert words.groups == (1, 0, 0, 1) and words.words[1:3] == ("the", "book")
    assert words.group_names == ("given", "special")
    assert json.loads(words.json())["views"][0]["groups"] == {"names": ["given", "special"]}
    assert np.allclose(words.vectors[1:3], word_vectors(encoder, ["the", "book"]), atol=1e-6)
    with pytest.raises(OptionError, match="layer is 2; the decoder has layers 0 to 1"):
        of_trace(trace, 2, stack="decoder")
    with pytest.raises(OptionError, match="the trace holds no"):
        of_trace(decoder.trace("a b", layers=[0]), 1, stack="decoder")
    with pytest.raises(OptionError, match="stack is 'foo'; this model has decoder"):
        of_trace(trace, stack="foo")
    with pytest.raises(OptionError, match="layer is 'x'"):
        of_trace(trace, "x")  # type: ignore[arg-type]


def test_equal_tokens_are_one_point_where_they_have_one_vector(encoder: Model) -> None:
    trace = encoder.trace("the book the teacher the")
    view = of_trace(trace)
    assert view.words == ("[CLS]", "the (1, 3, 5)", "book", "teacher", "[SEP]")
    assert np.array_equal(view.vectors[1], trace["encoder.embed.tokens"][3])
    after = of_trace(trace, 0)  # positions have told them apart
    assert after.words == ("[CLS]", "the (1)", "book", "the (3)", "teacher", "the (5)", "[SEP]")
    many = of_trace(encoder.trace(" ".join(["the"] * 9)))
    assert many.words == ("[CLS]", "the (1, 2, 3, 4 and 5 more)", "[SEP]")


def test_what_was_given_and_written_too_has_a_colour_of_its_own(decoder: Model) -> None:
    trace = decoder.trace("a b", max_new_tokens=1)
    trace.ids["decoder"][-1] = trace.ids["decoder"][0]
    trace["decoder.embed.tokens"][-1] = trace["decoder.embed.tokens"][0]
    trace.texts["decoder"][-1], trace.special["decoder"][-1] = "a", False
    view = of_trace(trace)
    assert view.words[0] == "a (0, 3)" and view.groups is not None
    assert view.group_names[view.groups[0]] == "given, and written too"
    pytest.importorskip("matplotlib")
    assert "given, and written too" in view.svg()


def test_one_word_is_no_list_of_letters(encoder: Model) -> None:
    for ask in (lambda: embedding_space(encoder, "book"), lambda: encoder.lens.space("book")):
        with pytest.raises(OptionError, match=r"words is 'book'; it must be a list, even of one: \['book'\]"):
            ask()


@pytest.mark.weights
def test_minilm_knows_kings_and_queens() -> None:
    model = ch.load(real.find("minilm-l6-v2"))
    assert "queen" in [near.label for near in neighbours(model, "king", 3)]
    assert analogy(model, "man", "king", "woman").results[0].label == "queen"
    view = embedding_space(model, ["king", "queen", "apple"])
    assert view.between("king", "queen").cosine > 0.5 > 0.2 > view.between("king", "apple").cosine
    deep = embedding_space(model, ["king", "queen", "apple"], -1)
    assert deep.nearest("king")[0].label == "queen"

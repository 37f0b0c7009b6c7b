"""embed, fill-mask, classify, parse and pipeline: what they give, how they are asked, and what they refuse."""

import io
import itertools
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
import labeller
import real
from clearhead.checkpoints.catalogue import list_models
from clearhead.errors import OptionError, UnsupportedError
from clearhead.tasks.choice import LARGER, advice, instruction_model, instruction_model_name
from clearhead.tasks.classify import check_labels, open_classifier, scored
from clearhead.tasks.embed import nearest
from clearhead.tasks.fill import JUDGED
from clearhead.tasks.pipeline import span
from terminal import fails, invoke, separate

SENTENCES = ["the teacher taught", "the student with the book", "the book", "taught books"]


@pytest.fixture(scope="module")
def bert(folders: dict[str, Path]) -> Any:
    return ch.load(folders["bert_folder"], executor="native")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A decoder with a chat template, whose weights are drawn at random."""
    import tiny

    return ch.load(tiny.gpt2_folder(tmp_path_factory.mktemp("chat") / "model", chat=True), executor="native")


# embed


def test_vectors_have_length_one_and_keep_the_order_of_their_texts(bert: Any) -> None:
    together = ch.embed(SENTENCES * 40, model=bert)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for i, text in enumerate(SENTENCES):
        np.testing.assert_allclose(together[i], ch.embed(text, model=bert)[0], atol=1e-5)
    assert nearest(together[1], together[:4], 2)[0][0] == 1


def test_embed_refuses_what_it_cannot_embed(bert: Any, chat: Any) -> None:
    for wrong in ([], [""], ["  "], [3]):
        with pytest.raises(OptionError):
            ch.embed(wrong, model=bert)  # type: ignore[list-item]
    with pytest.raises(UnsupportedError, match="come from an encoder"):
        ch.embed("text", model=chat)


def test_the_verb_embed(folders: dict[str, Path], tmp_path: Path) -> None:
    model, lines = folders["bert_folder"], "\n".join(SENTENCES)
    rows = [json.loads(row) for row in invoke("embed", "--lines", "-m", model, input=lines).stdout.splitlines()]
    assert [row["text"] for row in rows] == SENTENCES
    np.testing.assert_allclose([np.linalg.norm(row["embedding"]) for row in rows], 1, atol=1e-4)
    near = invoke("embed", "--lines", "-m", model, "--near", SENTENCES[2], "--top", "1", "-q", input=lines)
    assert near.stdout == f"1.000  {SENTENCES[2]}\n"
    said = json.loads(invoke("embed", "--lines", "-m", model, "--near", "book", "--json", input=lines).stdout)
    assert [one["line"] for one in said["nearest"]] != [] and said["query"] == "book"
    assert invoke("embed", "the book", "-m", model, "-o", tmp_path / "v.npy").stdout == ""
    kept = np.load(io.BytesIO((tmp_path / "v.npy").read_bytes()))
    np.testing.assert_allclose(kept, ch.embed("the book", model=model), atol=1e-6)
    written = invoke("embed", "the book", "-m", model, "-o", tmp_path / "v.npy", "--json").stdout
    assert json.loads(written)["shape"] == list(kept.shape)
    long = "fine\n" + "book " * 500
    assert re.search(r"line 2: the text .*context window", fails("embed", "--lines", "-m", model, input=long))
    assert "--lines" in fails("embed", "a", "-m", model, "--near", "b")
    assert "at least 1" in fails("embed", "a", "-m", model, "--lines", "--near", "b", "--top", "0")


# fill-mask


def test_a_masked_language_model_fills_every_blank(bert: Any) -> None:
    blanks = ch.fill_mask("the [MASK] taught the [MASK]", model=bert, top=3)
    assert [len(candidates) for candidates in blanks] == [3, 3]
    theirs = bert.fill("the [MASK] taught the [MASK]", top=3)
    assert [c.probability for c in blanks[0]] == [p for _, p in theirs[0].candidates]
    assert blanks[1][0].text == f"the [MASK] taught the {blanks[1][0].word}"


def test_a_decoder_weighs_the_whole_text(gpt2: Any) -> None:
    """The share of each word is that of the text's likelihood, which scoring whole texts confirms."""
    before, after = "the (", ") is"
    [candidates] = ch.fill_mask(f"{before}[MASK]{after}", model=gpt2, top=JUDGED)
    assert len(candidates) > 5

    def likelihood(text: str) -> float:
        ids = gpt2.tokenizer.encode(text)
        logits = gpt2.logits(ids)
        rows = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        rows -= logits.max(1, keepdims=True)
        return float(sum(rows[i, token] for i, token in enumerate(ids[1:])))

    weights = [likelihood(c.text) for c in candidates]
    assert weights == sorted(weights, reverse=True)
    for one, other in itertools.pairwise(candidates):
        ratio = math.log(one.probability / other.probability)
        assert ratio == pytest.approx(likelihood(one.text) - likelihood(other.text), abs=1e-3)


def test_blanks_that_cannot_be_filled(bert: Any, gpt2: Any, t5: Any) -> None:
    for model in (bert, gpt2):
        with pytest.raises(OptionError, match="blank"):
            ch.fill_mask("nothing is missing", model=model)
    with pytest.raises(OptionError, match="2 blanks"):
        ch.fill_mask("[MASK] and [MASK]", model=gpt2)
    with pytest.raises(OptionError, match="top is 0"):
        ch.fill_mask("[MASK]", model=bert, top=0)
    with pytest.raises(UnsupportedError, match="or by a decoder"):
        ch.fill_mask("[MASK]", model=t5)


@pytest.mark.weights
def test_a_real_model_fills_a_blank() -> None:
    model = ch.load(real.find("smollm2-135m-instruct"))
    [candidates] = ch.fill_mask("The capital of France is [MASK].", model=model)
    assert candidates[0].word == "Paris" and candidates[0].text == "The capital of France is Paris."
    [pets] = ch.fill_mask("The [MASK] barked at the cat.", model=model, top=3)  # what follows decides
    assert "dog" in [c.word for c in pets]


# classify


def test_shares_are_those_of_the_likelihoods_less_the_prior(chat: Any) -> None:
    classifier = open_classifier(["red", "green", "blue"], model=chat)
    found = classifier.of("grass")
    assert sum(label.probability for label in found) == pytest.approx(1)
    assert [label.probability for label in found] == sorted((f.probability for f in found), reverse=True)
    names = classifier.labels
    raw = scored(chat, classifier.question, "grass", names) - np.array(classifier.prior)
    expected = np.exp(raw - raw.max()) / np.exp(raw - raw.max()).sum()
    assert {f.name: f.probability for f in found} == pytest.approx(dict(zip(names, expected, strict=True)))
    assert ch.classify(["grass", "sky"], ["red", "green", "blue"], model=chat)[0] == found


def labelling(folder: Path) -> Any:
    """A model of transformers that labels texts, saved in a folder."""
    import transformers as tf

    config = tf.BertConfig(
        vocab_size=len(labeller.PIECES),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        id2label={0: "good", 1: "bad"},
        label2id={"good": 0, "bad": 1},
    )
    theirs = tf.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(folder)
    labeller.tokenizer().save(str(folder / "tokenizer.json"))
    return theirs


def test_a_model_with_labels_of_its_own_gives_them(tmp_path: Path) -> None:
    import torch

    theirs = labelling(tmp_path)
    model = ch.load(tmp_path, executor="native", dtype="float32")
    found = {label.name: label.probability for label in ch.classify("Anna saw Sofia", model=model)}
    with torch.inference_mode():
        logits = theirs(input_ids=torch.tensor([model.tokenizer.encode("Anna saw Sofia")])).logits[0]
    assert found == pytest.approx(dict(zip(["good", "bad"], logits.softmax(-1).tolist(), strict=True)), abs=1e-4)


def test_a_model_with_labels_of_its_own_may_be_named(tmp_path: Path) -> None:
    labelling(tmp_path)
    assert {label.name for label in ch.classify("Anna saw Sofia", model=tmp_path)} == {"good", "bad"}
    assert open_classifier(None, model=str(tmp_path)).prior == ()


@pytest.mark.parametrize("labels", [None, [], ["one"], ["a", "a"], ["a", " "], "a,b", [1, 2], 5])
def test_labels_are_two_or_more_different_words(labels: Any) -> None:
    with pytest.raises(OptionError):
        check_labels(labels)


def test_the_verb_classify(folders: dict[str, Path], chat: Any) -> None:
    folder = chat.checkpoint.source
    said = json.loads(invoke("classify", "grass", "--labels", "red, green", "-m", folder, "--json").stdout)
    assert {label["name"] for label in said["labels"]} == {"red", "green"}
    rows = invoke("classify", "--lines", "--labels", "red,green", "-m", folder, input="grass\nsky\n")
    assert [row.split("\t")[0] in ("red", "green") for row in rows.stdout.splitlines()] == [True, True]
    assert "is small for choosing labels" in rows.stderr
    assert "--labels sport,politics" in fails("classify", "grass")
    assert "two or more" in fails("classify", "grass", "--labels", "red", "-m", folder)
    assert "chat template" in fails("classify", "x", "--labels", "a,b", "-m", folders["gpt2_folder"])


# parse


def test_parse_needs_a_model_that_was_trained_to(folders: dict[str, Path]) -> None:
    assert "clearhead train parse-ptb" in fails("parse", "The cat sleeps.")
    assert "not trained to write trees" in fails("parse", "The cat sleeps.", "-m", folders["t5_folder"])


# choice


def test_the_larger_model_is_taken_where_it_is_here(monkeypatch: pytest.MonkeyPatch, chat: Any) -> None:
    here = any(status.name == LARGER and status.path for status in list_models())
    assert (instruction_model_name() == LARGER) == here
    monkeypatch.setattr("clearhead.tasks.choice.list_models", list)
    assert instruction_model_name() == "smollm2-135m-instruct"
    said = advice(chat, "writing code")
    assert said is not None and "is small for writing code" in said and f"clearhead pull {LARGER}" in said


def test_a_base_model_follows_no_instructions(gpt2: Any) -> None:
    with pytest.raises(UnsupportedError, match="chat template"):
        instruction_model(gpt2)


# pipeline


def test_names_and_forms_that_users_of_transformers_know(bert: Any, gpt2: Any, translator: Path) -> None:
    translate = ch.pipeline("translation_en_to_de", translator)
    assert translate("He sleeps.") == [{"translation_text": "Er schläft."}]
    assert len(translate(["He sleeps.", "Two dogs run."])) == 2
    [filled] = [ch.pipeline("fill-mask", bert)("the [MASK] taught", top_k=1)]
    assert filled[0].keys() == {"score", "token_str", "sequence"}
    features = ch.pipeline("feature-extraction", bert)(SENTENCES)
    tokens = [len(bert.tokenizer.encode(text)) for text in SENTENCES]
    assert [np.shape(one) for one in features] == [(1, count, bert.config.d_model) for count in tokens]
    [made] = ch.pipeline("text-generation", gpt2)("abc", max_new_tokens=3)
    assert made["generated_text"] == gpt2.complete("abc", max_new_tokens=3).text


def test_text_goes_on_as_it_is_and_conversations_with_an_answer(chat: Any) -> None:
    work = ch.pipeline("text-generation", chat)
    [made] = work("once upon", max_new_tokens=3)
    assert made["generated_text"] == chat.complete("once upon", raw=True, max_new_tokens=3).text
    messages = [{"role": "user", "content": "grass"}]
    [made] = work(messages, max_new_tokens=3)
    assert made["generated_text"] == [*messages, chat.chat(messages, max_new_tokens=3).message]
    both = work([messages, messages], max_new_tokens=3)
    assert both == [[made], [made]]
    three = work("once upon", max_new_tokens=3, n=3, temperature=1.0, seed=1)
    expected = chat.complete("once upon", raw=True, max_new_tokens=3, n=3, temperature=1.0, seed=1)
    assert [one["generated_text"] for one in three] == ["once upon" + s.new_text for s in expected.samples]
    assert len(work(messages, max_new_tokens=3, n=2, temperature=1.0, seed=1)) == 2


def test_an_answer_says_where_it_stands(chat: Any) -> None:
    work = ch.pipeline("question-answering", chat)
    found = work(question="Who?", context="A man.", max_new_tokens=3)
    assert found == work({"question": "Who?", "context": "A man."}, max_new_tokens=3)
    assert found.keys() == {"score", "start", "end", "answer"} and 0 <= found["score"] <= 1
    assert (found["start"], found["end"]) == span(found["answer"], "A man.")
    assert span("ivan petrov", "By Ivan Petrov.") == (3, 14) and span("Petrow", "By Ivan Petrov.") == (None, None)
    assert span("", "By.") == (None, None) and span("a(", "(a(") == (1, 3)
    assert span("5", "In 15 days 5 men left.") == (11, 12) and span("cat", "concatenate") == (3, 6)


@pytest.mark.parametrize(
    ("task", "given", "options", "says"),
    [
        ("zero-shot-classification", ("grass", "a,b"), {"multi_label": True}, "multi_label"),
        ("zero-shot-classification", ("grass",), {}, "candidate_labels"),
        ("ner", ("in Sofia",), {"device": 0}, "device"),
        ("summarization", ("a text",), {"max_length": 5}, "has no option 'max_length'; it has length"),
        ("question-answering", ({"question": "Who?"},), {}, "context is None"),
        ("translation_en_to_de", (None,), {}, "text is None"),
        ("translation_en_to_de", ("A dog.",), {"from_": "en"}, "has no option 'from_'"),
        ("summarization", ("A dog ran.",), {"model": "x"}, "has no option 'model'"),
        ("text-generation", ("x",), {"raw": True}, "has no option 'raw'"),
        ("zero-shot-classification", ("grass", "a,"), {}, "give two or more"),
    ],
)
def test_what_a_pipeline_is_not_made_for_is_one_error(
    task: str, given: tuple[Any, ...], options: dict[str, Any], says: str, chat: Any
) -> None:
    with pytest.raises(OptionError, match=says):
        ch.pipeline(task, chat)(*given, **options)


def test_names_of_entities_and_labels(tmp_path: Path, chat: Any) -> None:
    [one] = ch.pipeline("ner", ch.load(labeller.write(tmp_path / "m")))("in Sofia")
    assert (one["entity_group"], one["word"], one["start"], one["end"]) == ("LOC", "Sofia", 3, 8)
    found = ch.pipeline("zero-shot-classification", chat)("grass", candidate_labels="red,green")
    assert set(found["labels"]) == {"red", "green"} and sum(found["scores"]) == pytest.approx(1)


@pytest.mark.parametrize("task", ["sentiment", None, 5])
def test_an_unknown_task_is_told(task: Any) -> None:
    with pytest.raises(OptionError, match="translation_en_to_de, text-generation"):
        ch.pipeline(task)


@pytest.mark.parametrize(
    ("task", "arguments"),
    [
        ("text-generation", ("a",)),
        ("fill-mask", ("the (",)),
        ("zero-shot-classification", ("grass", "red,green")),
        ("question-answering", ("Who?", "A man.")),
        ("feature-extraction", ("a",)),
        ("translation_en_to_de", ("He sleeps.",)),
    ],
)
def test_a_model_is_loaded_when_it_is_first_used_and_kept(
    task: str,
    arguments: tuple[str, ...],
    folders: dict[str, Path],
    chat: Any,
    translator: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from clearhead.engine.machine import Machine

    times: list[object] = []
    load = Machine.load
    monkeypatch.setattr(Machine, "load", lambda self, name: times.append(name) or load(self, name))
    named = {"feature-extraction": folders["bert_folder"], "translation_en_to_de": translator}
    if task == "fill-mask":
        arguments = ("the [MASK] taught",)
        named[task] = folders["bert_folder"]
    work = ch.pipeline(task, named.get(task, chat.checkpoint.source))
    assert times == []
    options = {"max_new_tokens": 2} if task == "text-generation" else {}
    assert [work(*arguments, **options) for _ in range(2)] and len(times) == 1


WRONG = [None, 5, [1], b"bytes"]


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("task", ["classify", "fill_mask", "entities", "summarize", "embed", "translate", "parse"])
def test_what_is_no_text_is_told_before_a_model_is_loaded(task: str, text: Any) -> None:
    more = {"classify": {"labels": ["a", "b"]}, "translate": {"to": "de"}}.get(task, {})
    with pytest.raises(OptionError, match=r"^text is "):
        getattr(ch, task)(text, model="no-such-model", **more)


@pytest.mark.parametrize("verb", ["embed", "fill-mask", "classify"])
def test_the_examples_of_the_help_work(verb: str) -> None:
    match = re.search(rf"Example: clearhead ({verb} .*)", invoke(verb, "--help").stdout)
    assert match is not None
    real.find("minilm-l6-v2" if verb == "embed" else "smollm2-135m-instruct")
    words = shlex.split(match[1])
    done = separate(*words, *(["-m", "smollm2-135m-instruct"] if verb == "classify" else []))
    assert done.returncode == 0 and done.stdout, done.stderr

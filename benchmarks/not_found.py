"""Choose when `clearhead ask` finds nothing: the weights of `tasks/ask/found.py`, from questions kept for that alone.

    python benchmarks/not_found.py squad-v2.json --references boolq-dev.jsonl [--questions 80] [--model MODEL]

Half of the questions have their paragraph among the documents, of the others it was left out; all are of the half that
`clearhead evaluate answers` never asks. Both kinds weigh the same in a logistic regression. It is judged by leaving one
question out at a time: the area under the curve, and how many of those without a paragraph are told where 10 % and
15 % of the others are refused.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearhead.engine.machine import Machine
from clearhead.tasks.ask.ask import open_asker
from clearhead.tasks.ask.asker import Asker
from clearhead.tasks.ask.found import ALTERNATIVES, openings, refusal
from clearhead.tasks.ask.rerank import open_scorer
from clearhead.tasks.ask.retrieve import Retriever
from clearhead.tasks.ask.sqlite import SqliteStore
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.embed import open_encoder
from clearhead.tasks.evaluate.collecting import fill
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.questions import draw, read_passages, read_squad

RIDGE = 0.5  # keeps weights small where few questions decide them
Array = NDArray[np.float64]


def features(asker: Asker, questions: Sequence[str]) -> Array:
    """Log-probability of a refusal, and closeness [questions, 2]."""
    drafts = [asker.draft(question) for question in questions]
    prompts = [asker.messages(draft, may_refuse=True) for draft in drafts]
    starts = openings(asker.model)
    done = asker.model.complete_many(prompts, max_new_tokens=1, temperature=0, logprobs=ALTERNATIVES)
    refusals = [refusal(completion, starts) for completion in done]
    return np.array([[r, asker.closeness(draft)] for r, draft in zip(refusals, drafts, strict=True)])


def fitted(x: Array, held: NDArray[np.bool_]) -> Array:
    """Weights and the constant of a logistic regression by Newton's method; both kinds weigh the same."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    rows = np.c_[(x - mean) / spread, np.ones(len(x))]
    share = np.where(held, 0.5 / held.sum(), 0.5 / (~held).sum()) * len(x)
    weights = np.zeros(rows.shape[1])
    ridge = np.r_[np.full(len(weights) - 1, RIDGE), 1e-6]
    for _ in range(100):
        p = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (share * (p - held)) + ridge * weights
        bend = (rows * (share * p * (1 - p))[:, None]).T @ rows + np.diag(ridge)
        weights -= np.linalg.solve(bend, slope)
    return np.r_[weights[:-1] / spread, weights[-1] - (weights[:-1] * mean / spread).sum()]


def judged(x: Array, held: NDArray[np.bool_]) -> str:
    """Weights, and how well they do on a question that they have not seen."""
    odds = np.array([
        np.r_[x[i], 1.0] @ fitted(np.delete(x, i, 0), np.delete(held, i)) for i in range(len(x))
    ])  # fmt: skip
    area = (odds[held][:, None] > odds[~held][None]).mean()
    weights = fitted(x, held)
    seen = x @ weights[:-1] + weights[-1]
    lines = [f"weights {weights.round(3).tolist()}, area {area:.3f}"]
    for refused in (0.10, 0.12, 0.15):
        told = (odds[~held] < np.quantile(odds[held], refused)).mean()
        border = np.quantile(seen[held], refused)
        lines.append(f"  {100 * refused:.0f} % refused: {100 * told:.0f} % told; border at odds {border:.2f}")
    return "\n".join(lines)


def main() -> None:
    """Ask, fit, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--references", type=Path)
    parser.add_argument("--questions", type=int, default=80, help="of each kind")
    parser.add_argument("--model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--save", type=Path, help="keep the features here (.npz)")
    options = parser.parse_args()
    text = read(options.data)
    paragraphs, questions = read_squad(text)
    seen = [question for question in questions if not question.is_kept]
    more = [] if options.references is None else read_passages(read(options.references))
    drawn = draw(paragraphs, seen, more, 4 * options.questions, options.seed, text.path)
    machine = Machine(threads=options.threads)
    model, encoder = instruction_model(options.model, machine), open_encoder(None, machine)
    with SqliteStore(Path(":memory:")) as store:
        fill(store, encoder, drawn.named())
        retriever = Retriever(store=store, encoder=encoder, scorer=open_scorer(None, machine))
        asker = open_asker(retriever, model=model, length="short")
        with_answer = [question.text for question in drawn.asked["answerable"][: options.questions]]
        without = [question.text for question in drawn.asked["left out"]]
        x = features(asker, [*with_answer, *without])
    held = np.arange(len(x)) < len(with_answer)
    if options.save is not None:
        np.savez(options.save, x=x, held=held)
    print(f"{model.name}: {held.sum()} questions with their paragraph, {(~held).sum()} without")
    print("refusal and closeness:", judged(x, held))
    print("closeness alone:", judged(x[:, 1:], held))


if __name__ == "__main__":
    main()

"""Summaries of the same model through Clearhead and through transformers: same prompts, greedy, the same ROUGE.

    python benchmarks/summaries.py MODEL DATA.jsonl [--limit 100]

The model is exported for transformers (its weights in float32), and both answer the same prompts; Clearhead does so
once in each of `--dtypes`. Differences are held against the paired bootstrap.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import clearhead as ch
from clearhead.tasks.evaluate.metrics.bootstrap import difference
from clearhead.tasks.evaluate.metrics.rouge import KINDS, rouge, signature
from clearhead.tasks.evaluate.pairs import read_pairs
from clearhead.tasks.evaluate.report import Figure
from clearhead.tasks.evaluate.summaries import LENGTH, baselines, figures
from clearhead.tasks.summarize.answer import units
from clearhead.tasks.summarize.summarize import open_summarizer
from clearhead.tasks.summarize.summarizer import Summarizer
from clearhead.tasks.summarize.wish import conversation


def through_transformers(summarizer: Summarizer, folder: Path, texts: Sequence[str]) -> list[str]:
    """The same prompts, one at a time, greedy, cut to sentences in the same way."""
    import torch
    import transformers as tf

    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ends, found = set(summarizer.model.special.eos), []
    for text in texts:
        messages = conversation(text, summarizer.wish, system=summarizer.system)
        ids = summarizer.model.prompter.encode_chat(messages)
        with torch.inference_mode():
            out = model.generate(
                torch.tensor([ids]),
                max_new_tokens=summarizer.wish.new_tokens,
                do_sample=False,
                eos_token_id=sorted(ends),
                pad_token_id=min(ends),
            )
        new = out[0, len(ids) :].tolist()
        said = tokenizer.decode([each for each in new if each not in ends], skip_special_tokens=True)
        found.append(" ".join(units(said, summarizer.wish, ended=bool(new) and new[-1] in ends)[0]))
    return found


def main() -> None:
    """Summarize twice, score, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--dtypes", default="float32,auto", help="what Clearhead computes in, one after the other")
    options = parser.parse_args()
    pairs = read_pairs(options.data).first(options.limit)
    print(f"{options.model} · {options.data.name} · {len(pairs.inputs)} texts · {signature()}")
    table(baselines(pairs.inputs, pairs.expected, 0))
    ours = {}
    for dtype in options.dtypes.split(","):
        summarizer = open_summarizer(length=LENGTH, model=ch.load(options.model, dtype=dtype), links="none")
        begun = time.perf_counter()
        made = [each.text for each in summarizer.many(pairs.inputs)]
        ours[summarizer.model.executor.dtype] = made
        table(figures(f"clearhead {summarizer.model.executor.dtype} ", made, pairs.expected, 0))
        print(f"{time.perf_counter() - begun:.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        summarizer.model.save(Path(folder) / "model")
        begun = time.perf_counter()
        theirs = through_transformers(summarizer, Path(folder) / "model", pairs.inputs)
    table(figures("transformers float32 ", theirs, pairs.expected, 0))
    print(f"{time.perf_counter() - begun:.1f} s")
    other = rouge(theirs, pairs.expected)
    for dtype, made in ours.items():
        one = rouge(made, pairs.expected)
        for kind in KINDS:
            low, high = difference([each[kind] for each in one], [each[kind] for each in other])
            print(f"difference of {dtype:8} {kind}  [{100 * low:+.2f}, {100 * high:+.2f}]")
        same = sum(a == b for a, b in zip(made, theirs, strict=True))
        print(f"{dtype}: {same} of {len(made)} summaries are the same")


def table(rows: Sequence[Figure]) -> None:
    """Figures with their intervals."""
    for row in rows:
        print(f"{row.name:28} {row.value:6.2f}  [{row.low:.2f}, {row.high:.2f}]", flush=True)


if __name__ == "__main__":
    main()

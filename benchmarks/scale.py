"""`python -m benchmarks.scale`: what the paper's runs take on 8 GPUs, and where a thousand stop paying; docs/scale.md
explains the formulas.

`--measure cuda` first trains both models for some steps on one GPU, and hours follow from what that gave as well as
from published peaks and an assumed share of them. A token is a scored one, of the target, with one of the source
beside it.
"""

import argparse
import math
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch

from clearhead.config import ModelConfig
from clearhead.model.dropout import Dropout
from clearhead.model.transformer import Transformer
from clearhead.training.data.store import Examples, Ragged
from clearhead.training.learning.optimiser import Adam, build_optimiser
from clearhead.training.learning.schedules import constant
from clearhead.training.models import flops
from clearhead.training.models.initial import new_model
from clearhead.training.objectives.translation import Translation
from clearhead.training.recipe.architectures import configure
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.trainer import Settings, Trainer

RECIPES = ("transformer-base-wmt14-en-de", "transformer-big-wmt14-en-de")
LENGTH = 28  # tokens of a sentence, on either side, on average
NUMBER = 4  # bytes of a weight, and of its gradient: float32
CRITICAL = 400_000  # tokens of a batch that were still worth having: Ott et al. 2018 (1806.00187), 128 GPUs


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """GPUs, and what joins them."""

    name: str
    peak: float  # operations a second in bfloat16, without sparsity
    link: float = 50e9  # bytes a second that a GPU sends to other machines: 400 Gbit/s
    near: float = 450e9  # and to those of its own


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A run."""

    name: str
    config: ModelConfig
    steps: int
    batch: int  # tokens of an update, on either side
    rate: float = 0.0  # tokens a second on one GPU, where it was measured

    @property
    def weights(self) -> int:
        """How many there are."""
        return sum(p.numel() for p in self.model().parameters())

    @property
    def cost(self) -> float:
        """Operations a token, there and back."""
        return flops.per_token(self.model(), LENGTH)

    def model(self) -> Transformer:
        """Its shapes."""
        with torch.device("meta"):
            return Transformer(self.config)


MACHINES = (  # peaks: NVIDIA's data sheets of each, dense; links: of DGX machines
    Machine(name="A100", peak=312e12, link=25e9, near=300e9),
    Machine(name="H100", peak=989e12),
)
SHARES = (0.2, 0.4)  # of the peak
SHARES_OF = tuple((machine, share) for machine in MACHINES for share in SHARES)


def works() -> list[Work]:
    """The paper's two models, as their recipes say."""
    found = []
    for name in RECIPES:
        recipe = read_recipe(name)
        assert recipe.model is not None
        assert recipe.vocabulary is not None
        config = configure(recipe.model, recipe.vocabulary.size, seq2seq=True)
        assert isinstance(config, ModelConfig)
        t = recipe.training
        found.append(Work(name=name, config=config, steps=t.steps, batch=t.max_tokens * t.accumulate))
    return found


def seconds(work: Work, sustained: float, gpus: int) -> float:
    """Of the whole run, at `sustained` operations a second on each GPU."""
    return work.steps * work.batch * work.cost / (sustained * gpus)


def exchange(work: Work, link: float, gpus: int, *, sharded: bool = False) -> float:
    """Seconds of a step in which gradients travel: in a ring, every GPU sends each byte nearly twice (Patarasuk and
    Yuan 2009); where weights are sharded they are gathered twice and gradients scattered once."""
    return (3 if sharded else 2) * (gpus - 1) / gpus * work.weights * NUMBER / link


def least_tokens(work: Work, sustained: float, link: float) -> float:
    """Tokens of a GPU's share of a batch from which on computing takes as long as the exchange of many GPUs."""
    return exchange(work, link, 10**9) * sustained / work.cost


def slowest(spread: float, gpus: int) -> float:
    """How many times one rank's time a step takes, where times vary by the share `spread`: the largest of n normal
    numbers lies about sqrt(2 ln n) deviations above their mean."""
    return 1 + spread * math.sqrt(2 * math.log(gpus)) if gpus > 1 else 1.0


def measured(work: Work, device: str, steps: int = 20) -> Work:
    """The same with the tokens a second of one device: sentences of random ids, a batch of its size divided by 8."""
    rng = np.random.default_rng(0)
    vocabulary, each = work.config.vocab_size, work.batch // 8
    lengths = rng.integers(LENGTH // 2, 3 * LENGTH // 2, size=2000)

    def rows() -> Examples:
        return {
            side: Ragged.of(rng.integers(0, vocabulary, n).tolist() for n in lengths) for side in ("source", "target")
        }

    model = new_model(work.config, 0).to(device)
    trainer = Trainer(
        model,
        Translation(train=rows(), valid=rows(), start=0, pad=0, max_tokens=each, seed=0),
        build_optimiser(model, Adam(lr=1e-4)),
        constant(1),
        Settings(steps=steps, precision="bfloat16", dropout=Dropout(residual=0.1, embedding=0.1), smoothing=0.1),
    )
    for _ in range(steps // 4):  # a device warms up
        trainer.step()
    tokens, began = trainer.progress.tokens, perf_counter()
    for _ in range(steps):
        trainer.step()
    return replace(work, rate=(trainer.progress.tokens - tokens) / (perf_counter() - began))


def hours(found: list[Work], gpus: int) -> list[str]:
    """Table: how long the runs take."""
    columns = [
        f"{gpus} {machine.name}, {share:.0%} of {machine.peak / 1e12:.0f} TFLOP/s" for machine, share in SHARES_OF
    ]
    rows = [["run", "weights", "FLOP a token", "tokens", "FLOP", *columns, "measured on one", f"{gpus} of it"]]
    for work in found:
        tokens = work.steps * work.batch
        times = [spoken(seconds(work, share * machine.peak, gpus)) for machine, share in SHARES_OF]
        row = [work.name, f"{work.weights / 1e6:.0f} M", f"{work.cost / 1e9:.2f} G", f"{tokens:.1e}"]
        row += [f"{tokens * work.cost:.1e}", *times, "", ""]
        if work.rate:
            row[-2:] = [f"{work.rate:,.0f} tokens/s", spoken(seconds(work, work.rate * work.cost, gpus))]
        rows.append(row)
    return table(rows)


def limits(found: list[Work]) -> list[str]:
    """Table: what more GPUs meet."""
    rows = [["run", "on", "exchange among 8", "among 1,000", "least tokens a GPU", "batch of 1,000", "GPUs that pay"]]
    for work in found:
        for machine in MACHINES:
            needed = least_tokens(work, SHARES[-1] * machine.peak, machine.link)
            times = [exchange(work, machine.near, 8), exchange(work, machine.link, 1000)]
            row = [work.name, machine.name, *(f"{time * 1e3:.1f} ms" for time in times)]
            rows.append([*row, f"{needed:,.0f}", f"{needed / 1e3:.1f} M", f"{CRITICAL / needed:.0f}"])
    return table(rows)


def spoken(seconds: float) -> str:
    """Hours."""
    return f"{seconds / 3600:.2g} h"


def table(rows: list[list[str]]) -> list[str]:
    """Lines of Markdown, without columns in which there is nothing."""
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    lines = ["| " + " | ".join(row[i] for i in kept) + " |" for row in rows]
    return [lines[0], "|---" * len(kept) + "|", *lines[1:]]


def main() -> None:
    """The figures of docs/scale.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=str(__doc__).splitlines()[0])
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--measure", metavar="DEVICE", help="a device to train both models on for some steps: cuda")
    asked = parser.parse_args()
    found = [work if asked.measure is None else measured(work, asked.measure) for work in works()]
    print(*hours(found, asked.gpus), "", *limits(found), "", sep="\n")
    late = ", ".join(f"{slowest(0.03, n) - 1:.0%} of {n:,}" for n in (8, 1000))
    print(f"a step waits for the slowest rank, where their times vary by 3 %: {late}")


if __name__ == "__main__":
    main()

"""`python -m benchmarks decode prefill --rounds 7`: Clearhead beside its peers, alternated in one run.

Every engine runs in a process of its own and takes its turn; the others are stopped meanwhile. Printed, and written to
the folder of results, are medians with extremes, ratios of the same rounds, and parts of what the machine does at best.
"""

import argparse
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest, Entry
from benchmarks.machine import Limits, description, peaks_line
from benchmarks.process import Cold, EngineError, Worker, command
from benchmarks.report import record, table, write
from benchmarks.run import hold
from benchmarks.works import WORKS

PEERS = ("llama_cpp", "openvino", "onnxruntime", "ctranslate2", "transformers")
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Every contest of the works asked for."""
    asked = arguments()
    works = list(WORKS) if "all" in asked.works else asked.works
    contests = [contest for work in works for contest in WORKS[work]()]
    chosen = [contest for contest in contests if asked.only.lower() in contest.title.lower()]
    if not chosen:
        sys.exit(f"--only {asked.only!r} is in none of these titles:\n" + "\n".join(one.title for one in contests))
    limits = Limits(asked.threads, say)
    print(description(), flush=True)
    for contest in chosen:
        run(contest, asked, limits)
    print(f"\nlimits with {asked.threads} threads: {peaks_line(limits.peaks)}")


def run(contest: Contest, asked: argparse.Namespace, limits: Limits) -> None:
    """One table, printed and written. The machine's limits are measured before and after, for they swing."""
    limits.measure()
    print(f"\n{contest.title}", flush=True)
    skipped: list[str] = []

    def skip(reason: str) -> None:
        skipped.append(reason)
        say(reason)

    workers = [worker for entry in contest.entries if (worker := start(entry, contest, asked, skip)) is not None]
    try:
        rows = hold(contest, workers, asked.rounds, limits.measure, skip) if workers else []
    finally:
        for worker in workers:
            worker.close()
    if not rows:
        return
    where = {
        "date": str(date.today()),
        "machine": description(),
        "threads": asked.threads,
        "peaks": peaks_line(limits.peaks),
    }
    found = record(contest, rows, skipped, where)
    print("\n".join(table(found)), flush=True)
    write(asked.out, contest.work, {contest.title: found})


def start(entry: Entry, contest: Contest, asked: argparse.Namespace, skip: Any) -> Any:
    """A worker, or None with a line that says why."""
    ours = entry.engine.startswith("clearhead")
    if not ours and asked.peers is not None and entry.engine.partition(":")[0] not in asked.peers:
        return None
    model = entry.model
    if "/" in model:
        path = asked.models / model
        if not path.exists():
            skip(f"{entry.label}: {path} is missing; make it with: python -m benchmarks.prepare")
            return None
        model = str(path)
    python = sys.executable if ours else asked.peer_python
    try:
        return (Cold if contest.cold else Worker)(entry.label, command(python, entry, model, asked.threads))
    except EngineError as error:
        skip(str(error))
        return None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("works", nargs="+", choices=[*WORKS, "all"], metavar="WORK", help=", ".join([*WORKS, "all"]))
    parser.add_argument("--rounds", type=at_least_one, default=7)
    parser.add_argument("--threads", type=at_least_one, default=2)
    parser.add_argument("--only", default="", metavar="WORDS", help="only the tables with these words in their title")
    parser.add_argument("--peers", type=peers, help=f"only these, with commas between them: {', '.join(PEERS)}")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has the peers")
    parser.add_argument("--models", type=Path, default=default_models(), help="where prepared models lie (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def at_least_one(text: str) -> int:
    """A number that can be had."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def peers(text: str) -> list[str]:
    """Their modules' names."""
    if unknown := set(text.split(",")) - set(PEERS):
        raise argparse.ArgumentTypeError(f"{min(unknown)!r} is no peer; choose from {', '.join(PEERS)}")
    return text.split(",")


def default_models() -> Path:
    """Beside Clearhead's own models."""
    from clearhead.checkpoints.catalogue.store import cache_root

    return Path(os.environ.get("CLEARHEAD_BENCHMARKS", cache_root() / "benchmarks"))


def say(line: str) -> None:
    """To whoever watches."""
    print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

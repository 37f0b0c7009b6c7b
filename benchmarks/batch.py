"""What files cost: 20,000 translations by `clearhead batch`, beside the same translator over the same lines.

    python benchmarks/batch.py SENTENCES.en --rows 20000

Both take turns, part by part, in one process, so that a machine with other work slows both. The time of the batch is
all that it takes beside those turns: counting, opening the model, reading, writing, making sure of the disk. Seconds of
the processor stand beside those of the clock, since on a shared machine the clock measures its other work as well.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearhead.processor import processor_name
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part, Reader
from clearhead.tasks.batch.run import run
from clearhead.tasks.batch.tasks import Wish, open_task
from clearhead.tasks.batch.work import Done, do
from clearhead.tasks.translate import open_translator


@dataclass
class Clock:
    """Seconds of the clock, and of this process on the processor."""

    wall: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> "Clock":
        """What both show."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Clock") -> "Clock":
        return Clock(self.wall - other.wall, self.processor - other.processor)

    def __add__(self, other: "Clock") -> "Clock":
        return Clock(self.wall + other.wall, self.processor + other.processor)


class Turns:
    """Computes each part twice: as a batch does, and by the translator alone."""

    def __init__(self, to: str) -> None:
        self.alone = open_translator(to)
        self.spent = Clock()  # by the translator alone
        self.reading = Clock()  # its lines, which it is given
        self.said: dict[int, list[str]] = {}

    def __call__(self, parts: Sequence[Part], manifest: Manifest, wish: Wish) -> Iterator[Done]:
        """Every part once."""
        opened, reader = open_task(wish), Reader(manifest.sources)
        for part in parts:
            if part.number % 2:
                self.turn(part, manifest)
            done = do(part, manifest, reader, opened)
            if not part.number % 2:
                self.turn(part, manifest)
            yield done

    def turn(self, part: Part, manifest: Manifest) -> None:
        """The translator alone."""
        begun = Clock.now()
        lines = list(map(str, Reader(manifest.sources).rows(part).texts("text", {})))
        given = Clock.now()
        self.said[part.number] = [each.text for each in self.alone.lines(lines)]
        self.spent += Clock.now() - given
        self.reading += given - begun


def main() -> None:
    """Run with the arguments of this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path, help="a text file, a sentence a line")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--to", default="de")
    given = parser.parse_args()
    sentences = given.sentences.read_text(encoding="utf-8").splitlines()[: given.rows]
    with tempfile.TemporaryDirectory() as place:
        file, output = Path(place) / "rows.jsonl", Path(place) / "done"
        file.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(sentences)))
        turns = Turns(given.to)
        begun = Clock.now()
        found = run(
            Wish(task="translate", to=given.to),
            [str(file)],
            output,
            workers=turns,
            progress=lambda done, of: sys.stderr.write(f"\r{done} of {of}") and None,
        )
        spent = Clock.now() - begun - turns.spent - turns.reading
        rows = [json.loads(line) for path in sorted(output.glob("part-*")) for line in path.open(encoding="utf-8")]
    said = [text for number in sorted(turns.said) for text in turns.said[number]]
    print(f"\n{processor_name()}; {len(sentences)} rows, {found.failures} failed")
    print(f"rows in order, each once: {[row['id'] for row in rows] == list(range(len(sentences)))}")
    print(f"same translations: {[row['translation'] for row in rows] == said}")
    for name in ("wall", "processor"):
        alone, batch = getattr(turns.spent, name), getattr(spent, name)
        print(
            f"{name}: translator alone {len(said) / alone:.2f} rows/s, batch {len(rows) / batch:.2f} rows/s, "
            f"{100 * alone / batch:.2f} %"
        )


if __name__ == "__main__":
    main()

"""A run's losses as curves: read from its log, drawn against steps, tokens and time, and in a line of characters."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.errors import ConfigError, MissingDependencyError
from clearhead.training.runs.files import read_json_lines, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG = "log.jsonl"
LOSS = "dev_nll"
AXES = {"step": "steps", "tokens": "tokens", "seconds": "seconds of steps"}
LEVELS = "▁▂▃▄▅▆▇█"
LINES = ("-", "--", ":", "-.")
KINDS = {".png": "png", ".svg": "svg"}


@dataclass(frozen=True, slots=True)
class Point:
    """A loss, in nats per token, and where in the run it was measured; of dev also what translations scored."""

    step: int
    tokens: int
    seconds: float
    nll: float
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """The losses of one run."""

    label: str
    train: list[Point]
    dev: list[Point]

    @property
    def best(self) -> Point | None:
        """The evaluation with the least loss."""
        return min(self.dev, key=lambda point: point.nll, default=None)

    @property
    def scores(self) -> list[str]:
        """The names of what translations of dev were given."""
        return list(dict.fromkeys(name for point in self.dev for name in point.scores))

    def course(self, name: str) -> list[tuple[Point, float]]:
        """Each evaluation with its loss, or with a score where it has that."""
        if name == LOSS:
            return [(point, point.nll) for point in self.dev]
        return [(point, point.scores[name]) for point in self.dev if name in point.scores]


def read_curve(folder: Path, label: str | None = None) -> Curve:
    """The curve of a run, by its folder.

    Raises:
        ConfigError: it holds no run, or one that has logged nothing.
    """
    path = folder / LOG
    if not path.is_file():
        raise ConfigError(f"{folder} holds no run that has logged anything; there is no {LOG} in it")
    try:
        lines = read_json_lines(path)
        tokens = {line["step"]: line["tokens"] for line in lines if "tokens" in line}
        train = [point(line, line["nll"], tokens) for line in lines if "nll" in line]
        dev = [point(line, line["dev_nll"], tokens) for line in lines if "dev_nll" in line]
    except (KeyError, TypeError, UnicodeDecodeError, OSError) as e:
        raise ConfigError(f"{path} is no log of a run ({type(e).__name__}: {e})") from None
    if not train and not dev:
        raise ConfigError(f"{path} holds no losses yet; wait until the run has made some steps")
    return Curve(label or folder.resolve().name, train, dev)


def point(line: Mapping[str, Any], nll: float, tokens: Mapping[int, int]) -> Point:
    """A line of the log."""
    scores = dict(line.get("dev_scores", {}))
    return Point(line["step"], tokens.get(line["step"], 0), line["seconds"], nll, scores)


def compare(runs: Mapping[str, Path] | Sequence[Path], path: Path, title: str = "") -> None:
    """Draw the curves of several runs, by their folders or by labels of them, into a .png or .svg file.

    Raises:
        ConfigError: a folder without a run, or another kind of file.
        MissingDependencyError: matplotlib is not installed.
    """
    if path.suffix not in KINDS:
        raise ConfigError(f"{path} must end in .png or .svg")
    write_whole(path, picture(read_curves(runs), KINDS[path.suffix], title))


def read_curves(runs: Mapping[str, Path] | Sequence[Path]) -> list[Curve]:
    """The curves of several runs, each with a label of its own."""
    if isinstance(runs, Mapping):
        return [read_curve(folder, label) for label, folder in runs.items()]
    names = [folder.resolve().name for folder in runs]
    unique = len(set(names)) == len(names)
    return [read_curve(folder, name if unique else str(folder)) for folder, name in zip(runs, names, strict=True)]


def picture(curves: Sequence[Curve], kind: str, title: str = "") -> bytes:
    """The bytes of a drawing; `kind` is png or svg."""
    file = io.BytesIO()
    figure(curves, title).savefig(file, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def figure(curves: Sequence[Curve], title: str = "") -> "Figure":
    """Losses against steps, tokens and time: thin in training, with dots on held-out data; below them each score.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter, MaxNLocator
    except ImportError:
        raise MissingDependencyError(
            "drawing needs matplotlib; install it with: pip install 'clearhead[lens]'"
        ) from None
    scores = list(dict.fromkeys(name for curve in curves for name in curve.scores))
    drawn = Figure(figsize=(13, 4.2 + 3.2 * len(scores)), layout="constrained")
    places: Any = drawn.subplots(1 + len(scores), len(AXES), sharey="row", squeeze=False)
    for column, key in enumerate(AXES):
        draw(places[0][column], curves, key)
        for row, name in enumerate(scores, 1):
            draw_scores(places[row][column], curves, key, name)
        places[-1][column].set_xlabel(AXES[key])
        for place in places[:, column]:  # 10k, 15M: figures of five digits run into each other
            place.xaxis.set_major_locator(MaxNLocator(6))
            place.xaxis.set_major_formatter(EngFormatter(sep=""))
    for row, name in enumerate(["loss, nats per token", *(f"{name} on dev" for name in scores)]):
        places[row][0].set_ylabel(name)
    for text in places[0][-1].legend(fontsize=8).get_texts():
        text.set_parse_math(False)
    drawn.suptitle(title or (curves[0].label if len(curves) == 1 else ""), parse_math=False)
    return drawn


def draw(axes: "Axes", curves: Sequence[Curve], key: str) -> None:
    """All curves against one of a point's places; of several, each has a colour and one entry in the legend."""
    if len(curves) == 1:
        line(axes, curves[0].train, key, color="C0", linewidth=0.8, label="train")
        line(axes, curves[0].dev, key, color="C1", linewidth=1.4, marker=".", label="dev")
    else:
        for i, curve in enumerate(curves):
            shown = bool(curve.dev)
            line(axes, curve.train, key, **look(i), linewidth=0.8, alpha=0.35, label="" if shown else curve.label)
            line(axes, curve.dev, key, **look(i), linewidth=1.4, marker=".", label=curve.label if shown else "")
    axes.grid(alpha=0.3)


def draw_scores(axes: "Axes", curves: Sequence[Curve], key: str, name: str) -> None:
    """One score of all curves, in the colours of their losses on dev."""
    for i, curve in enumerate(curves):
        style = look(i if len(curves) > 1 else 1)
        found = curve.course(name)
        places = [getattr(point, key) for point, _ in found]
        axes.plot(places, [value for _, value in found], **style, linewidth=1.4, marker=".")
    axes.grid(alpha=0.3)


def look(i: int) -> dict[str, Any]:
    """How the i-th curve is drawn; after ten colours, in the next kind of line."""
    return {"color": f"C{i % 10}", "linestyle": LINES[i // 10 % len(LINES)]}


def line(axes: "Axes", points: Iterable[Point], key: str, **style: Any) -> None:
    """One line."""
    found = [(getattr(p, key), p.nll) for p in points]
    axes.plot([x for x, _ in found], [y for _, y in found], **style)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Numbers as a line of blocks, the lowest the least; the mean where there are more than fit."""
    if not values:
        return ""
    count = min(width, len(values))
    cuts = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    steps = [round((value - low) / (high - low) * (len(LEVELS) - 1)) if high > low else 0 for value in means]
    return "".join(LEVELS[step] for step in steps)

"""What was measured, as JSON, and from that as Markdown and a plot: a file of each for every work.

A run replaces the tables it measured again and keeps the others, so that a long work can be run in parts.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest
from benchmarks.plot import bars
from benchmarks.run import Result

Record = dict[str, Any]
LEGEND = """`python -m benchmarks {work}` prints these tables: medians; extremes; the lead, how many times better ours
is than this row (median over rounds); and parts of what this machine was measured to do at best."""


def record(contest: Contest, rows: list[Result], skipped: list[str], where: Record) -> Record:
    """One table as plain data."""
    return {
        "unit": contest.unit,
        **where,
        "skipped": skipped,
        "rows": [
            {
                "label": row.label,
                "version": row.facts["version"],
                "median": row.median,
                "values": row.values,
                "ratio": row.ratio,
                "shares": row.shares,
                "likeness": row.likeness,
                "facts": row.facts,
            }
            for row in rows
        ],
    }


def write(folder: Path, work: str, records: dict[str, Record]) -> Path:
    """Merge with what is there; the path of the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{work}.json"
    merged: dict[str, Record] = (json.loads(data.read_text()) if data.exists() else {}) | records
    data.write_text(json.dumps(merged, indent=1) + "\n")
    plot = data.with_suffix(".svg")
    plot.write_text(bars(merged))
    page = data.with_suffix(".md")
    page.write_text(markdown(work, merged, plot.name))
    return page


def markdown(work: str, records: dict[str, Record], plot: str) -> str:
    """The page of a work."""
    lines = [f"# {work}", "", f"{LEGEND.format(work=work)}\n\n![{work}]({plot})", ""]
    for title, found in records.items():
        lines += [f"## {title}", "", *table(found), "", *conditions(found), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(found: Record) -> list[str]:
    """Medians, extremes, ratios, shares."""
    limits = list(dict.fromkeys(limit for row in found["rows"] for limit in row["shares"]))
    head = ["engine", found["unit"], "extremes", "lead"]
    lines = [line([*head, *limits]), line(["---", *["---:"] * (3 + len(limits))])]
    for row in found["rows"]:
        low, high = number(min(row["values"])), number(max(row["values"]))
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f} x"
        shares = [f"{row['shares'][limit]:.0%}" if limit in row["shares"] else "" for limit in limits]
        cells = [row["label"], number(row["median"]), f"{low} .. {high}", ratio, *shares]
        lines.append(line(cells))
    return lines


def conditions(found: Record) -> list[str]:
    """On what, with what, when."""
    versions = "; ".join(dict.fromkeys(row["version"] for row in found["rows"]))
    rounds = len(found["rows"][0]["values"]) if found["rows"] else 0
    where = f"{rounds} rounds, {found['threads']} threads, {found['date']}. {found['machine']}. {versions}."
    limits = f"Measured limits: {found['peaks']}."
    alike = "; ".join(f"{row['label']}: {row['likeness']}" for row in found["rows"] if row["likeness"])
    return [f"<sub>{where} {limits} {alike}</sub>", *(f"<sub>Left out: {reason}</sub>" for reason in found["skipped"])]


def line(cells: list[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """Three or more digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

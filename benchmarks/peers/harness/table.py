"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.harness.bare import Bare
from benchmarks.peers.harness.measure import Row

ALIKE = 0.98  # of the best: no difference that would show again


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured, and how."""

    date: str
    machine: str
    model: str  # file name
    sha256: str
    deadline_ms: float
    seconds: float
    bare: Bare
    bare_after: Bare  # another figure than before: something else ran on the core
    loads: Mapping[str, float]  # frames a second of each load, lightest first
    versions: Mapping[str, Mapping[str, str]]  # by peer
    rows: Sequence[Row]


def table(run: Run) -> str:
    """Return heading, figures, the best of each load, versions and what could not be run."""
    return "\n".join(
        [
            *_heading(run),
            *_figures(run),
            "",
            *(f"- {line}" for line in winners(run.rows, list(run.loads))),
            "",
            *_versions(run),
            *_failures(run.rows),
            "",
        ]
    )


def winners(rows: Sequence[Row], loads: Sequence[str]) -> list[str]:
    """Say who answered most in time and who had the youngest answers under each load."""
    lines = []
    for load in loads:
        ran = [row for row in rows if row.load == load and not row.failure and row.answered]
        if not ran:
            continue
        most = max(row.goodput for row in ran)
        alike = [_name(row) for row in ran if row.goodput >= ALIKE * most]
        who = f"{len(alike)} settings alike" if len(alike) > 3 else " and ".join(alike)
        young = min(ran, key=lambda row: row.p99_ms)
        lines.append(
            f"{load}: most in time {who}, {most:.1f}/s; "
            f"lowest p99 {_name(young)}, {young.p99_ms:.0f} ms"
        )
    return lines


def _heading(run: Run) -> list[str]:
    loads = ", ".join(f"{name} = {fps:.1f}/s" for name, fps in run.loads.items())
    return [
        "# Peers, side by side",
        "",
        f"{run.date}, {run.machine}. {run.model} (SHA-256 {run.sha256[:16]}…). A bare loop "
        f"on the server's core takes {run.bare.p50_ms:.1f} ms a frame ({run.bare.fps:.1f}/s; "
        f"after the run {run.bare_after.fps:.1f}/s); "
        f"an answer is in time within {run.deadline_ms:.0f} ms. {run.seconds:g} s a load: {loads}.",
        "",
    ]


def _figures(run: Run) -> list[str]:
    names = list(run.loads)
    head = ["server", "setting", *(f"in time/s, {name}" for name in names)]
    shown = names[1:2] + names[-1:]  # ages at half load and at the most
    head += [f"p50 / p99 ms, {name}" for name in shown]
    head += [f"refused / lost / errors, {names[-1]}", f"CPU ms an answer, {shown[0]}", "MB"]
    lines = [_line(head), _line(["---"] * len(head))]
    best = {name: max((r.goodput for r in run.rows if r.load == name), default=0) for name in names}
    for key in dict.fromkeys(row.key for row in run.rows):
        by_load = {row.load: row for row in run.rows if row.key == key and not row.failure}
        if not by_load:
            continue
        rows = [by_load.get(name) for name in names]
        goodput = [_cell(row, lambda r: f"{r.goodput:.1f}") for row in rows]
        marked = [
            f"**{text}**" if row and row.goodput >= ALIKE * best[row.load] > 0 else text
            for text, row in zip(goodput, rows, strict=True)
        ]
        ages = [_cell(by_load.get(name), _ages) for name in shown]
        half, last = by_load.get(shown[0]), by_load.get(names[-1])
        ends = _cell(last, lambda r: f"{r.refused} / {r.lost} / {r.errors}")
        cpu = _cell(half, lambda r: f"{r.cpu_ms:.0f}" if r.answered else "")
        memory = f"{max(row.memory_mb for row in by_load.values()):.0f}"
        lines.append(_line([*key, *marked, *ages, ends, cpu, memory]))
    return lines


def _versions(run: Run) -> list[str]:
    told = (
        f"{peer}: " + ", ".join(f"{name} {version}" for name, version in found.items())
        for peer, found in run.versions.items()
    )
    return ["Versions. " + "; ".join(told) + "."]


def _failures(rows: Sequence[Row]) -> list[str]:
    failed = [row for row in rows if row.failure]
    if not failed:
        return []
    return [
        "",
        "Not measured:",
        "",
        *(
            f"- {row.peer}, {row.setting}{', ' + row.load if row.load else ''}: {row.failure}"
            for row in failed
        ),
    ]


def _name(row: Row) -> str:
    return f"{row.peer} ({row.setting})"


def _ages(row: Row) -> str:
    return f"{row.p50_ms:.0f} / {row.p99_ms:.0f}" if row.answered else "none"


def _cell(row: Row | None, text: Callable[[Row], str]) -> str:
    return "" if row is None else text(row)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

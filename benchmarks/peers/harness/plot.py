"""The figures as a plot: goodput and age against load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.harness.measure import Row

STYLES = ("-", "--", ":", "-.")


def plot(rows: Sequence[Row], deadline_ms: float, path: Path) -> None:
    """Draw each peer in a colour and each of its settings in a line style."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (goodput, age) = pyplot.subplots(1, 2, figsize=(14, 5.5))
    peers = list(dict.fromkeys(row.peer for row in rows if not row.failure))
    offered = sorted({row.offered_fps for row in rows if not row.failure})
    goodput.plot(offered, offered, color="lightgrey", label="all in time")
    age.axhline(deadline_ms, color="lightgrey", label="deadline")
    for key, line in lines(rows).items():
        peer, setting = key
        settings = list(dict.fromkeys(row.setting for row in rows if row.peer == peer))
        look = {
            "color": f"C{peers.index(peer) % 10}",
            "linestyle": STYLES[settings.index(setting) % len(STYLES)],
            "marker": ".",
        }
        loads = [row.offered_fps for row in line]
        goodput.plot(loads, [row.goodput for row in line], label=f"{peer}: {setting}", **look)
        answered = [row for row in line if row.answered]
        age.plot([r.offered_fps for r in answered], [r.p99_ms for r in answered], **look)
    goodput.set_ylabel("answers in time, frames/s")
    age.set_ylabel("age of answers, p99, ms")
    age.set_yscale("log")
    for axes in (goodput, age):
        axes.set_xlabel("offered, frames/s")
        axes.grid(alpha=0.3)
    figure.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def lines(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return what was measured, by peer and setting, lightest load first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not row.failure:
            found.setdefault(row.key, []).append(row)
    return {key: sorted(line, key=lambda row: row.offered_fps) for key, line in found.items()}

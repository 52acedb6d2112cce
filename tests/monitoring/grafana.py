"""What Grafana asks Prometheus for a dashboard: its queries, with its variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conftest import ROOT

FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"
MAX_POINTS = 1000  # about one for each pixel of a panel
ANNOTATION_POINTS = 100
ALL = "$__all"
LEFT = re.compile(r"\$\{?\w+")


@dataclass(frozen=True, slots=True)
class Question:
    """A query of a panel or an annotation, as it is sent."""

    board: str
    panel: str
    expr: str
    legend: str
    instant: bool
    step_s: float


@dataclass(frozen=True, slots=True)
class View:
    """How a dashboard is looked at: the time shown, and how often the server is read."""

    range_s: float
    scrape_s: float

    def step_s(self, points: int) -> float:
        """Return the distance of the points: never less than a scrape."""
        return max(self.range_s / points, self.scrape_s)

    def filled(self, expr: str, step_s: float, variables: Mapping[str, str]) -> str:
        """Put in Grafana's own variables, then the dashboard's.

        The rate interval is Grafana's: a step and a scrape, and no less than four scrapes.
        """
        own = {
            "__rate_interval": _duration(max(step_s + self.scrape_s, 4 * self.scrape_s)),
            "__interval": _duration(step_s),
            "__range": _duration(self.range_s),
        }
        for name, value in sorted({**own, **variables}.items(), reverse=True):
            expr = expr.replace(f"${{{name}}}", value).replace(f"${name}", value)
        assert not LEFT.search(expr), f"{expr} has a variable that the dashboard lacks"
        return expr


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by uid."""
    boards = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
    return {board["uid"]: board for board in boards}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a dashboard's panels, without the headings of its rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def chosen(board: Mapping[str, Any]) -> dict[str, str]:
    """Return the value that each variable has when the dashboard opens."""
    values = {}
    for variable in board["templating"]["list"]:
        value = variable["current"]["value"]
        everything = value in (ALL, [ALL])
        values[variable["name"]] = variable["allValue"] if everything else value
    return values


def questions(board: Mapping[str, Any], view: View) -> Iterator[Question]:
    """Yield what each query of each panel asks."""
    variables = chosen(board)
    for panel in panels(board):
        step_s = view.step_s(panel.get("maxDataPoints", MAX_POINTS))
        for target in panel["targets"]:
            yield Question(
                board["uid"],
                panel["title"],
                view.filled(target["expr"], step_s, variables),
                target["legendFormat"],
                target["instant"],
                step_s,
            )


def notes(board: Mapping[str, Any], view: View) -> Iterator[Question]:
    """Yield what each annotation asks."""
    step_s = view.step_s(ANNOTATION_POINTS)
    for note in board["annotations"]["list"]:
        expr = view.filled(note["target"]["expr"], step_s, chosen(board))
        legend = note["titleFormat"] + note["textFormat"]
        yield Question(board["uid"], note["name"], expr, legend, False, step_s)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"

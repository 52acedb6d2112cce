"""*Objectives*: what was promised, how much of it was kept, and what is firing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DynamicConfigValue,
    ValueMap,
    ValueMappingResult,
)

from sightline_dashboards.colours import BAD, GOOD, NOTICE, P50, P95, P99, REFUSED, WARNING, WORST
from sightline_dashboards.page import page
from sightline_dashboards.panels import Panel, Query, fixed, listing, reading, stacked, trend
from sightline_dashboards.queries import RANGE, grown, quantile, rate, series, share

BUDGET = "30d"
WINDOWS = {"5m": P50, "1h": P95, "6h": P99, "3d": "purple"}
BURN = {1.0: NOTICE, 3.0: WARNING, 6.0: BAD, 14.4: WORST}  # where the alerts begin
ALERT_COLUMNS = ("severity", "alertname", "part", "instance", "objective", "window", "Value")
ALERT_HEADINGS = ("Severity", "Alert", "Part", "Server", "Objective", "Window", "Since")


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise: which share is to be good.

    Attributes:
        bad: the share that was bad over a window, as PromQL, by what it is a share of.
        recorded: the rule that records it for each of WINDOWS and BUDGET, without its window.
    """

    name: str
    goal: float
    about: str
    bad: Callable[[str], Mapping[str, str]]
    recorded: str

    @property
    def allowed(self) -> str:
        """Return the share that may be bad."""
        return f"{1 - self.goal:g}"


def objectives() -> Dashboard:
    """Return the dashboard."""
    about = "What was promised, how much of it was kept, and what is firing."
    rows = {
        "Alerts": _alerts(),
        "Kept over the time shown": [_kept(one) for one in OBJECTIVES],
        "Error budget left of 30 days": [_left(one) for one in OBJECTIVES],
        "How fast the budget burns": [_burn(one) for one in OBJECTIVES],
        "HTTP": _http(),
    }
    return page("sightline-objectives", about, rows, span="24h", refresh="1m")


def _alerts() -> list[Panel]:
    firing = 'count (ALERTS{{alertstate="firing",severity="{}"}}) or vector(0)'
    since = (
        'ALERTS_FOR_STATE{severity!="none"} * 1000 '
        'and ignoring (alertstate) ALERTS{alertstate="firing"}'
    )
    words = {
        "page": ValueMappingResult("page", BAD),
        "ticket": ValueMappingResult("ticket", WARNING),
    }
    severity = [
        DynamicConfigValue("mappings", [ValueMap(words)]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
    ]
    return [
        reading(
            "Firing",
            "Alerts that fire now, of every server, whichever is chosen above, and of the "
            "monitoring itself. A page wants somebody at once, a ticket within days.",
            units.Short,
            Query(firing.format("page"), "Pages"),
            Query(firing.format("ticket"), "Tickets"),
            steps={1: BAD},
        )
        .span(6)
        .height(7),
        listing(
            "What is firing",
            "docs/runbooks/ has a page for each: what it means, what to look at, what to do. The "
            "message that was sent, and Alertmanager, have the summary with its numbers.",
            Query(since, "{{alertname}}"),
            dict(zip(ALERT_COLUMNS, ALERT_HEADINGS, strict=True)),
        )
        .span(18)
        .no_value("Nothing is firing.")
        .sort_by([TableSortByFieldState().display_name("Severity")])
        .override_by_name("Since", [DynamicConfigValue("unit", units.DateTimeFromNow)])
        .override_by_name("Severity", severity),
    ]


def _kept(objective: Objective) -> Panel:
    return (
        reading(
            f"{objective.name}, goal {100 * objective.goal:g} %",
            objective.about,
            units.PercentUnit,
            *(Query(f"1 - {bad}", of) for of, bad in objective.bad(RANGE).items()),
            steps={objective.goal: GOOD},
            below=BAD,
        )
        .span(8)
        .decimals(3)
        .no_value("no traffic")
    )


def _left(objective: Objective) -> Panel:
    return (
        reading(
            f"{objective.name}: left",
            "What is left of what may go wrong in 30 days, or since there is data, of the server "
            "that does worst. Below a quarter: put off what is risky. Below zero: the promise is "
            "broken; mend before anything else.",
            units.PercentUnit,
            Query(f"1 - {_worst(objective, BUDGET)} / {objective.allowed}", objective.name),
            steps={0: WARNING, 0.25: GOOD},
            below=BAD,
        )
        .span(8)
        .decimals(1)
        .no_value("no traffic")
    )


def _burn(objective: Objective) -> Panel:
    """Return the burn rates that the alerts look at: of the worst server, each by itself."""
    lines = [
        Query(f"{_worst(objective, window)} / {objective.allowed}", window, colour)
        for window, colour in WINDOWS.items()
    ]
    return (
        trend(
            f"{objective.name}: burn",
            "How many times faster than allowed the budget goes, of the server that does worst, "
            "over four windows. At 1 it would just last 30 days. Lines: 14.4 and 6 page, 3 and 1 "
            "make a ticket, once a short window agrees with a long one.",
            "suffix:x",
            *lines,
            steps=BURN,
        )
        .height(9)
        .max_data_points(300)
        .no_value("no traffic")
    )


def _worst(objective: Objective, window: str) -> str:
    return f"max ({series(objective.recorded + window)})"


def _http() -> list[Panel]:
    return [
        stacked(_answers()),
        trend(
            "HTTP latency by path, p95",
            "From request to answer, the upload's own time on the network included. Slow uploads "
            "with a quick engine: large pictures, or a slow network.",
            units.Seconds,
            Query(quantile(0.95, "http_request_duration_seconds", "handler"), "{{handler}}"),
        ).span(12),
    ]


def _answers() -> timeseries.Panel:
    panel = trend(
        "HTTP answers by status",
        "503: told to come again later. 4xx: the caller's fault, told how to mend. Other 5xx: the "
        "server's; its log has the request's id.",
        units.RequestsPerSecond,
        Query(rate("http_requests_total", "status", job="sightline"), "{{status}}"),
    )
    for pattern, colour in (("/^2/", GOOD), ("/^4/", WARNING), ("/^5/", BAD), ("/^503/", REFUSED)):
        panel.override_by_regexp(pattern, [fixed(colour)])
    return panel.span(12)


def _late(over: str) -> dict[str, str]:
    frames = "sightline_admitted_frames_total"
    return {"Frames": share(grown(frames, over=over, in_time="no"), grown(frames, over=over))}


def _failed(over: str) -> dict[str, str]:
    """Frames and uploads, and HTTP calls that asked for work; 503 is a refusal with a reason."""
    frames, calls = "sightline_frames_total", "http_requests_total"
    posts = series(calls, job="sightline", method="POST")
    wrong = posts.replace("}", ',status=~"5..",status!="503"}')
    failed = f"(sum (increase({wrong}[{over}])) or vector(0))"
    return {
        "Frames": share(grown(frames, over=over, result="failed"), grown(frames, over=over)),
        "Calls": share(failed, grown(calls, over=over, job="sightline", method="POST")),
    }


def _away(over: str) -> dict[str, str]:
    """A scrape that failed counts as not ready."""
    ready = f"sum (sum_over_time({series('sightline_engine_ready')}[{over}]))"
    scrapes = f"sum (count_over_time({series('up', job='sightline')}[{over}]))"
    return {"Engine": f"(1 - {ready} / {scrapes})"}


OBJECTIVES = (
    Objective(
        "Live frames in time",
        0.99,
        "Of the live frames the server owed an answer, those answered before the deadline. Below: "
        "see 'How late' and 'Drops by reason' on Live.",
        _late,
        "instance:sightline_frames_late:ratio_rate",
    ),
    Objective(
        "Answered or told why not",
        0.999,
        "Frames and uploads, and HTTP calls that ask for work, that were answered or refused with "
        "a reason. Below: the server's log has the failures, with their ids.",
        _failed,
        "instance_of:sightline_calls_failed:ratio_rate",
    ),
    Objective(
        "Engine ready",
        0.999,
        "Share of time the default model's engine took frames; a server that can't be read counts "
        "as away. Below: see 'Health' on Models.",
        _away,
        "instance:sightline_engine_unready:ratio_avg",
    ),
)

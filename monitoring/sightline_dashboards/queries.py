"""PromQL for the panels: each function returns an expression over the chosen servers.

`$instance` is the dashboards' variable, `$__rate_interval` and `$__range` are Grafana's own.
"""

from __future__ import annotations

from sightline_dashboards.colours import P50, P95, P99
from sightline_dashboards.panels import Query

RATE = "$__rate_interval"
RANGE = "$__range"


def series(metric: str, **labels: str) -> str:
    """Select a metric of the chosen servers, with the given labels."""
    chosen = ['instance=~"$instance"', *(f'{name}="{value}"' for name, value in labels.items())]
    return f"{metric}{{{','.join(chosen)}}}"


def total(metric: str, *by: str, **labels: str) -> str:
    """Add a gauge up over the chosen servers."""
    return f"{_sum(by)} ({series(metric, **labels)})"


def most(metric: str, *by: str, **labels: str) -> str:
    """Keep the highest for each value of `by`: two servers on one machine tell the same of it."""
    return f"max by ({', '.join(by)}) ({series(metric, **labels)})"


def rate(counter: str, *by: str, **labels: str) -> str:
    """Return how much a counter grows per second."""
    return f"{_sum(by)} (rate({series(counter, **labels)}[{RATE}]))"


def grown(counter: str, *by: str, over: str = RATE, **labels: str) -> str:
    """Return by how much a counter grew over a window."""
    return f"{_sum(by)} (increase({series(counter, **labels)}[{over}]))"


def quantile(share: float, histogram: str, *by: str) -> str:
    """Return a quantile of a histogram, 0.95 for p95; nothing where it observed nothing."""
    return f"histogram_quantile({share:g}, {rate(histogram + '_bucket', 'le', *by)}) >= 0"


def quantiles(histogram: str) -> list[Query]:
    """Return the lines p50, p95 and p99 of a histogram."""
    return [
        Query(quantile(0.5, histogram), "p50", P50),
        Query(quantile(0.95, histogram), "p95", P95),
        Query(quantile(0.99, histogram), "p99", P99),
    ]


def mean(histogram: str, *by: str) -> str:
    """Return the mean of what a histogram observed; nothing where it observed nothing."""
    return f"{rate(histogram + '_sum', *by)} / ({rate(histogram + '_count', *by)} > 0)"


def share(part: str, whole: str) -> str:
    """Divide; nothing, rather than NaN, while the whole is zero."""
    return f"{part} / ({whole} > 0)"


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)})" if by else "sum"

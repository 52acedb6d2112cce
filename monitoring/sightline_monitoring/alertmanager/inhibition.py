"""Which alert makes others superfluous: one trouble, one message.

The names are those of monitoring/prometheus/rules/. All else goes by the labels that every alert
has, so that a new alert is covered when it is written. An Alertmanager may have alerts of others:
to it, a label that both alerts lack is equal, so a cause must name its instance, and only alerts
with a `part`, which are ours, are silenced.
"""

from __future__ import annotations

from sightline_monitoring.alertmanager.channels import Entry

_NAMED = 'instance=~".+"'
_OURS = 'part=~".+"'
_SAME = ["job", "instance", "site"]  # two sites may both have a backend:8000

INHIBIT_RULES: list[Entry] = [
    {
        # Nothing is known of a server that can't be read; what is left of it is old.
        "source_matchers": ['alertname="ScrapeDown"', _NAMED],
        "target_matchers": ['alertname!~"ScrapeDown|Watchdog"', _OURS],
        "equal": _SAME,
    },
    {
        # Late, dropped and refused frames, errors, a queue: its symptoms. A slow event loop isn't.
        "source_matchers": ['alertname="EngineNotReady"', _NAMED],
        "target_matchers": ['part=~"live|http"', 'alertname!="EventLoopLag"'],
        "equal": _SAME,
    },
    {
        "source_matchers": ['alertname="EngineNotReady"', _NAMED],
        "target_matchers": ['objective="engine-ready"', _OURS],
        "equal": _SAME,
    },
    {
        # An objective that burns fast burns slowly, too.
        "source_matchers": ['severity="page"', 'objective=~".+"', _OURS, _NAMED],
        "target_matchers": ['severity="ticket"', 'objective=~".+"', _OURS],
        "equal": [*_SAME, "objective"],
    },
]

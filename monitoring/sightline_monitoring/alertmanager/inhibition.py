"""Which alert makes others superfluous: one trouble, one message.

The names are those of monitoring/prometheus/rules/. All else goes by the labels that every alert
has, so that a new alert is covered when it is written.
"""

from __future__ import annotations

from sightline_monitoring.alertmanager.channels import Entry

INHIBIT_RULES: list[Entry] = [
    {
        # Nothing is known of a server that can't be read; what is left of it is old.
        "source_matchers": ['alertname="ScrapeDown"'],
        "target_matchers": ['alertname!~"ScrapeDown|Watchdog"'],
        "equal": ["instance"],
    },
    {
        # Late, dropped and refused frames, errors, a queue: its symptoms. A slow event loop isn't.
        "source_matchers": ['alertname="EngineNotReady"'],
        "target_matchers": ['part=~"live|http"', 'alertname!="EventLoopLag"'],
        "equal": ["instance"],
    },
    {
        "source_matchers": ['alertname="EngineNotReady"'],
        "target_matchers": ['objective="engine-ready"'],
        "equal": ["instance"],
    },
    {
        # An outage that was told of is still in the objectives' windows once it is over.
        "source_matchers": ['alertname="OutageTold"'],
        "target_matchers": ['severity="page"', 'objective=~".+"'],
        "equal": ["instance"],
    },
    {
        # An objective that burns fast burns slowly, too.
        "source_matchers": ['severity="page"', 'objective=~".+"'],
        "target_matchers": ['severity="ticket"', 'objective=~".+"'],
        "equal": ["instance", "objective"],
    },
]

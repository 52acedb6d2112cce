"""The whole alertmanager.yml, as Alertmanager 0.28 and later read it."""

from __future__ import annotations

from typing import Literal

import yaml

from sightline_monitoring.alertmanager.channels import HTTP, Entry, receivers
from sightline_monitoring.alertmanager.inhibition import INHIBIT_RULES
from sightline_monitoring.alertmanager.routes import route
from sightline_monitoring.alertmanager.settings import AlertSettings

HEADER = (
    "# Made by `python -m sightline_monitoring.alertmanager` from SIGHTLINE_ALERT_* variables.\n"
)


def configuration(settings: AlertSettings) -> Entry:
    """Return the configuration as YAML would hold it; secrets stay in their files."""
    return {
        "global": {"http_config": HTTP},
        "route": route(settings),
        "inhibit_rules": INHIBIT_RULES,
        "receivers": receivers(settings),
    }


def rendered(settings: AlertSettings) -> str:
    """Return the text of the file."""
    body = yaml.dump(
        configuration(settings), Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True
    )
    return HEADER + body


def told(settings: AlertSettings) -> str:
    """Return in one line who will hear of what."""
    if not settings.configured:
        return "alerts go nowhere: no SIGHTLINE_ALERT_* channel is set up (docs/alerts.md)"
    severities: tuple[Literal["page", "ticket"], ...] = ("page", "ticket")
    parts = [f"{s}s to {', '.join(settings.channels(s)) or 'nobody'}" for s in severities]
    return "alerts: " + "; ".join(parts)


class _Dumper(yaml.SafeDumper):
    """Writes templates as blocks, and no anchors, so that a person can read the file."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)

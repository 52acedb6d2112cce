"""Which alert goes to which receiver, and which alert makes others superfluous."""

from __future__ import annotations

from sightline_monitoring.alertmanager.channels import NOBODY, WATCHDOG, Entry
from sightline_monitoring.alertmanager.settings import AlertSettings, milliseconds


def route(settings: AlertSettings) -> Entry:
    """Return the tree of routes; an alert of unknown severity goes where tickets go."""
    page = "page" if settings.channels("page") else NOBODY
    ticket = "ticket" if settings.channels("ticket") else NOBODY
    watchdog = WATCHDOG if settings.watchdog_url or settings.watchdog_url_file else NOBODY
    every_ms = milliseconds(settings.watchdog_every)
    return {
        "receiver": ticket,
        "group_by": ["alertname", "part", "site"],
        "group_wait": settings.group_wait,
        "group_interval": settings.group_interval,
        "repeat_interval": settings.ticket_repeat,
        "routes": [
            {
                "receiver": watchdog,
                "matchers": ['alertname="Watchdog"'],
                "group_wait": "0s",
                # Looked at twice in that time, and repeated the second time: a little less than
                # the whole time, or that round would find it too early.
                "group_interval": f"{every_ms // 2}ms",
                "repeat_interval": f"{every_ms * 9 // 10}ms",
            },
            {"receiver": NOBODY, "matchers": ['severity="none"']},
            {
                "receiver": page,
                "matchers": ['severity="page"'],
                "repeat_interval": settings.page_repeat,
            },
        ],
    }

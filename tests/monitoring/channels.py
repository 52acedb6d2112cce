"""A real Alertmanager with every channel set up, and what is at the channels' other ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline_monitoring.alertmanager.settings import AlertSettings
from tests.monitoring.alertmanager_server import AlertmanagerServer, alertmanager
from tests.monitoring.receivers import MailServer, WebServer, mail_server, web_server


@dataclass(frozen=True, slots=True)
class Everywhere:
    """All of it."""

    manager: AlertmanagerServer
    mail: MailServer
    web: WebServer

    def counts(self) -> list[int]:
        """Return how much came by mail, to Slack, to Teams and to the webhook."""
        return [len(self.mail.mails), *(len(self.web.to(n)) for n in ("slack", "teams", "webhook"))]

    def wait_for(self, count: int) -> None:
        """Wait for that many messages on every channel."""
        self.mail.wait_for(count)
        for name in ("slack", "teams", "webhook"):
            self.web.wait_for(name, count)


@contextmanager
def everywhere(folder: Path, **settings: Any) -> Iterator[Everywhere]:
    """Run it all, in a hurry."""
    with mail_server() as mail, web_server() as web:
        for name in ("slack", "teams"):
            (folder / name).write_text(f"{web.url}/{name}\n")
        chosen: dict[str, Any] = {
            "email_to": "ops@example.org",
            "email_from": "sightline@example.org",
            "email_smarthost": mail.address,
            "email_tls": False,
            "slack_url_file": folder / "slack",
            "teams_url_file": folder / "teams",
            "webhook_url": f"{web.url}/webhook",
            "watchdog_url": f"{web.url}/watchdog",
            "group_wait": "500ms",
            "group_interval": "1s",
            "watchdog_every": "1s",
            "grafana_url": "https://grafana.example.org",
            "repository_url": "https://git.example.org/sightline",
        }
        with alertmanager(folder / "am", AlertSettings(**chosen | settings)) as manager:
            yield Everywhere(manager, mail, web)

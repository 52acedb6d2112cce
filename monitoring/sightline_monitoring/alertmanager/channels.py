"""The receivers of the configuration: who is told, through which service, in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline_monitoring.alertmanager import messages
from sightline_monitoring.alertmanager.settings import AlertSettings, Channel

NOBODY = "nobody"
WATCHDOG = "watchdog"

Entry = dict[str, Any]  # one mapping of the YAML file

# A proxy is found as other programs find it, in HTTPS_PROXY and NO_PROXY.
HTTP: Entry = {"proxy_from_environment": True}


def receivers(settings: AlertSettings) -> list[Entry]:
    """Return every receiver that a route may name."""
    entries: list[Entry] = [{"name": NOBODY}]
    for severity in ("page", "ticket"):
        if names := settings.channels(severity):
            entries.append({"name": severity, **dict(_integration(n, settings) for n in names)})
    if settings.watchdog_url or settings.watchdog_url_file:
        address = _address(settings.watchdog_url, settings.watchdog_url_file)
        # "Resolved" would be taken for a sign of life.
        entries.append({"name": WATCHDOG, "webhook_configs": [address | {"send_resolved": False}]})
    return entries


def _integration(channel: Channel, settings: AlertSettings) -> tuple[str, list[Entry]]:
    match channel:
        case "email":
            return "email_configs", [_email(settings)]
        case "slack":
            return "slack_configs", [_slack(settings)]
        case "teams":
            return "msteamsv2_configs", [_teams(settings)]
        case "webhook":
            return "webhook_configs", [_webhook(settings)]


def _email(settings: AlertSettings) -> Entry:
    # Alertmanager begins with TLS at port 465, and 0.28 then still looks for STARTTLS if told to.
    implicit_tls = str(settings.email_smarthost).endswith(":465")
    entry: Entry = {
        "to": ", ".join(settings.email_to),
        "from": settings.email_from,
        "smarthost": settings.email_smarthost,
        "require_tls": settings.email_tls and not implicit_tls,
        "send_resolved": True,
        "headers": {"Subject": messages.SUBJECT},
        "text": messages.mail_text(_links(settings)),
        "html": messages.mail_html(_links(settings)),
    }
    if settings.email_username is not None:
        entry["auth_username"] = settings.email_username
        entry["auth_password_file"] = str(settings.email_password_file)
    if settings.email_ca_file is not None:
        entry["tls_config"] = {"ca_file": str(settings.email_ca_file)}
    return entry


def _slack(settings: AlertSettings) -> Entry:
    entry: Entry = {
        "api_url_file": str(settings.slack_url_file),
        "send_resolved": True,
        "username": "Sightline",
        "color": messages.SLACK_COLOUR,
        "title": messages.TITLE,
        "title_link": "",
        "fallback": messages.TITLE,
        "text": messages.slack(_links(settings)),
    }
    return entry | ({"channel": settings.slack_channel} if settings.slack_channel else {})


def _teams(settings: AlertSettings) -> Entry:
    return {
        "webhook_url_file": str(settings.teams_url_file),
        "send_resolved": True,
        "title": messages.TITLE,
        "text": messages.teams(_links(settings)),
    }


def _webhook(settings: AlertSettings) -> Entry:
    entry = _address(settings.webhook_url, settings.webhook_url_file) | {"send_resolved": True}
    if settings.webhook_token_file is not None:
        token = {"type": "Bearer", "credentials_file": str(settings.webhook_token_file)}
        entry["http_config"] = {"authorization": token, **HTTP}
    return entry


def _links(settings: AlertSettings) -> messages.Links:
    return messages.Links(settings.grafana_url, settings.repository_url)


def _address(url: str | None, file: Path | None) -> Entry:
    return {"url": url} if url else {"url_file": str(file)}

"""What no setting shows by itself: a missing file, a half that needs its other half."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sightline_monitoring.alertmanager.settings import AlertSettings, variable, web_address

FILES = (
    "email_password_file",
    "email_ca_file",
    "slack_url_file",
    "teams_url_file",
    "webhook_url_file",
    "webhook_token_file",
    "watchdog_url_file",
)
RETIRED = ".webhook.office.com/"  # connectors, which Microsoft has switched off


def problems(settings: AlertSettings) -> list[str]:
    """Return what is wrong, a line each: the variable, what was found and how to mend it."""
    return [*_email(settings), *_webhooks(settings), *_choices(settings), *_files(settings)]


def _email(settings: AlertSettings) -> Iterator[str]:
    if settings.email_to:
        for field, example in (("email_smarthost", "mail.example.org:587"),
                               ("email_from", "sightline@example.org")):  # fmt: skip
            if getattr(settings, field) is None:
                yield f"{variable(field)}: mail needs it too, for example {example}"
    elif settings.email_smarthost is not None:
        yield f"{variable('email_to')}: there is a mail server but nobody to write to; name them"
    if (settings.email_username is None) != (settings.email_password_file is None):
        named, other = ("email_username", "email_password_file")
        missing = named if settings.email_username is None else other
        yield f"{variable(missing)}: the name and the password's file belong together; set both"
    if settings.email_password_file is not None and not settings.email_tls:
        yield (
            f"{variable('email_tls')}: the password would travel in the clear; set it to true or "
            "leave the name and the password away"
        )


def _webhooks(settings: AlertSettings) -> Iterator[str]:
    for name in ("webhook", "watchdog"):
        if getattr(settings, f"{name}_url") and getattr(settings, f"{name}_url_file"):
            yield f"{variable(f'{name}_url')}: the address is also in a file; set one of the two"
    if settings.webhook_token_file and "webhook" not in settings.configured:
        yield f"{variable('webhook_url')}: there is a token for a webhook without an address"
    if settings.slack_channel and "slack" not in settings.configured:
        yield f"{variable('slack_url_file')}: there is a channel, but no file with the address"


def _choices(settings: AlertSettings) -> Iterator[str]:
    for field in ("page_to", "ticket_to"):
        chosen = getattr(settings, field)
        if "none" in chosen and len(chosen) > 1:
            yield f"{variable(field)}: none stands alone, got {','.join(chosen)}"
        for name in chosen:
            if name not in ("none", *settings.configured):
                yield f"{variable(field)}: {name} is not set up; set {_address_of(name)} too"


def _address_of(channel: str) -> str:
    field = {"email": "email_to", "webhook": "webhook_url"}.get(channel, f"{channel}_url_file")
    return variable(field)


def _files(settings: AlertSettings) -> Iterator[str]:
    for field in FILES:
        path: Path | None = getattr(settings, field)
        if path is None:
            continue
        found = _fault(field, path)
        if found is not None:
            yield f"{variable(field)}: {path} {found}"


def _fault(field: str, path: Path) -> str | None:
    """Return what is wrong with a file without saying what is in it."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return "does not exist; make it, or mount it as a secret"
    except (OSError, UnicodeDecodeError) as error:
        return f"can't be read by this user: {error}; mend its mode, owner or content"
    if not text:
        return "is empty; put one line into it"
    return _address_fault(field, text) if field.endswith("url_file") else None


def _address_fault(field: str, text: str) -> str | None:
    if len(text.split()) > 1:
        return "should hold one address; it holds several words or lines"
    try:
        web_address(text)
    except ValueError:
        return "should hold an address that begins with https://; it holds something else"
    if field == "teams_url_file" and RETIRED in text:
        return "holds the address of a connector, which Teams no longer takes; make a Workflows one"
    return None

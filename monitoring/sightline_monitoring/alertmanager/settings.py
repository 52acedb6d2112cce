"""Every setting of the alerts' delivery, read from SIGHTLINE_ALERT_* variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "SIGHTLINE_ALERT_"
UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
DURATION = re.compile("".join(rf"(?:(\d+){unit})?" for unit in UNITS_MS))

Channel = Literal["email", "slack", "teams", "webhook"]
Choice = Literal["email", "slack", "teams", "webhook", "none"]


def milliseconds(duration: str) -> int:
    """Return what a duration in Prometheus' spelling, such as 1h30m, comes to."""
    found = DURATION.fullmatch(duration)
    if not duration or found is None:
        raise ValueError(f"a duration such as 30s, 5m or 1h30m is needed, got {duration!r}")
    return sum(int(n or 0) * ms for n, ms in zip(found.groups(), UNITS_MS.values(), strict=True))


def web_address(text: str) -> str:
    """Return an address that a browser would take, without a password in it."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"an address that begins with https:// or http:// is needed, got {text!r}")
    if parts.password is not None:
        raise ValueError("it holds a password: put the address into a file and name that one")
    return text


def _wait(duration: str) -> str:
    milliseconds(duration)
    return duration


def _interval(duration: str) -> str:
    if milliseconds(duration) < 1000:
        raise ValueError(f"at least 1s is needed, got {duration!r}")
    return duration


Choices = Annotated[tuple[Choice, ...], NoDecode]  # comma separated in the environment
Addresses = Annotated[tuple[str, ...], NoDecode]
Wait = Annotated[str, AfterValidator(_wait)]
Interval = Annotated[str, AfterValidator(_interval)]
WebAddress = Annotated[str, AfterValidator(web_address)]


class AlertSettings(BaseSettings):
    """Where alerts go. Secrets are named as files and never read into the configuration."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    email_to: Addresses = Field(default=(), description="Who gets mail.")
    email_from: str | None = Field(default=None, description="Sender of the mail.")
    email_smarthost: str | None = Field(
        default=None, description="Mail server as host:port, such as mail.example.org:587."
    )
    email_username: str | None = Field(default=None, description="Name at the mail server.")
    email_password_file: Path | None = Field(default=None, description="File with the password.")
    email_tls: bool = Field(
        default=True,
        description="STARTTLS, or TLS from the first byte at port 465; false sends in the clear.",
    )
    email_ca_file: Path | None = Field(
        default=None, description="Certificate of your own authority, if the mail server needs it."
    )

    slack_url_file: Path | None = Field(
        default=None, description="File with the address of an incoming webhook."
    )
    slack_channel: str | None = Field(
        default=None, description="Channel, where the webhook leaves a choice."
    )
    teams_url_file: Path | None = Field(
        default=None, description="File with the address of a Workflows webhook."
    )
    webhook_url: WebAddress | None = Field(
        default=None, description="Address that gets Alertmanager's own JSON."
    )
    webhook_url_file: Path | None = Field(
        default=None, description="The same from a file, for an address that is a secret."
    )
    webhook_token_file: Path | None = Field(
        default=None, description="File with a bearer token for it."
    )

    watchdog_url: WebAddress | None = Field(
        default=None, description="Address that hears every minute that alerting works."
    )
    watchdog_url_file: Path | None = Field(default=None, description="The same from a file.")
    watchdog_every: Interval = Field(default="1m", description="How often it hears.")

    page_to: Choices = Field(
        default=(), description="Channels for pages; unset: every one that is set up; or none."
    )
    ticket_to: Choices = Field(default=(), description="The same for tickets.")
    group_wait: Wait = Field(
        default="15s", description="How long the first message of a group waits for company."
    )
    group_interval: Interval = Field(
        default="2m", description="Least time between two messages of a group."
    )
    page_repeat: Interval = Field(
        default="1h", description="When a page that still fires is sent again."
    )
    ticket_repeat: Interval = Field(default="24h", description="The same for tickets.")
    grafana_url: WebAddress | None = Field(
        default=None,
        validation_alias="SIGHTLINE_GRAFANA_URL",
        description="Where a reader of a message reaches Grafana; unset: no link.",
    )
    repository_url: WebAddress | None = Field(
        default=None,
        description="Address of these files, such as https://git.example.org/sightline/blob/main, "
        "for links to docs/runbooks; unset: the path alone.",
    )

    @field_validator("email_to", "page_to", "ticket_to", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("email_to")
    @classmethod
    def _mailboxes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            _mailbox(address)
        return value

    @field_validator("email_from")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        return value and _mailbox(value)

    @field_validator("email_smarthost")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^\s/@]+:\d{1,5}", value):
            raise ValueError(f"host:port such as mail.example.org:587 is needed, got {value!r}")
        return value

    @field_validator("grafana_url", "repository_url")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return value and value.rstrip("/")

    @property
    def configured(self) -> tuple[Channel, ...]:
        """The channels that have an address."""
        addresses: dict[Channel, object] = {
            "email": self.email_to,
            "slack": self.slack_url_file,
            "teams": self.teams_url_file,
            "webhook": self.webhook_url or self.webhook_url_file,
        }
        return tuple(channel for channel, address in addresses.items() if address)

    def channels(self, severity: Literal["page", "ticket"]) -> tuple[Channel, ...]:
        """Return where alerts of a severity go."""
        chosen = self.page_to if severity == "page" else self.ticket_to
        return tuple(name for name in self.configured if not chosen or name in chosen)


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return "SIGHTLINE_GRAFANA_URL" if field == "grafana_url" else PREFIX + field.upper()


def explained(error: ValidationError) -> list[str]:
    """Return which variables are wrong and why, a line each."""
    lines = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0])
        said = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{variable(name) if name.islower() else name}: {said}")
    return lines


def _mailbox(address: str) -> str:
    bare = r"[^\s@<>,]+@[^\s@<>,]+"
    if not re.fullmatch(rf"{bare}|[^<>]*<{bare}>", address):
        raise ValueError(f"a mail address such as ops@example.org is needed, got {address!r}")
    return address

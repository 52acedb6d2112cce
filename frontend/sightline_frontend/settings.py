"""Every setting of the pages: built once at the entry point, then passed down."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class IceServer(BaseModel):
    """One STUN or TURN server, spelled as browsers spell it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None


class Settings(BaseSettings):
    """The pages' settings, read from SIGHTLINE_* variables where no value is given."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", frozen=True)

    backend_url: str = Field(
        default="http://127.0.0.1:8000", description="Where this program reaches the detector."
    )
    public_backend_url: str | None = Field(
        default=None,
        description="Where a visitor's browser reaches the detector, such as "
        "https://cams.example.org; unset: the page's own host and public_backend_port.",
    )
    public_backend_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The detector's port on the page's own host, for a visitor's browser; "
        "unset: backend_url's.",
    )
    grafana_url: str | None = Field(
        default=None,
        description="Where a visitor's browser reaches Grafana, such as http://localhost:3000; "
        "unset: the pages don't link to it.",
    )
    ice_servers: tuple[IceServer, ...] = Field(
        default=(), description='STUN and TURN servers as JSON: [{"urls": "turn:…", …}].'
    )
    jpeg_quality: int = Field(default=80, ge=30, le=100, description="JPEG quality of live frames.")
    request_timeout_s: float = Field(
        default=60, gt=0, description="Longest wait for the answer to an upload, seconds."
    )

    admin_token: SecretStr | None = Field(
        default=None,
        description="The detector's SIGHTLINE_ADMIN_TOKEN; whoever reaches these pages may then "
        "change models and start jobs.",
    )

    @field_validator("public_backend_url", "grafana_url", "admin_token", mode="before")
    @classmethod
    def _unset_when_empty(cls, value: object) -> object:
        return value or None

    @field_validator("backend_url", "public_backend_url", "grafana_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"an address such as http://127.0.0.1:8000 is needed, got {value!r}")
        return value.rstrip("/")

    @property
    def backend_port(self) -> int:
        """The detector's port on the page's own host."""
        if self.public_backend_port is not None:
            return self.public_backend_port
        parts = urlsplit(self.backend_url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def stream_url(self) -> str:
        """The WebSocket address at which this program reaches the detector."""
        return "ws" + self.backend_url.removeprefix("http") + "/ws/detect"


def explained(error: ValidationError) -> str:
    """Return which variables are wrong and why, for a person."""
    lines = [
        f"- `SIGHTLINE_{str(problem['loc'][0]).upper()}`: {problem['msg']}"
        for problem in error.errors()
    ]
    return "These settings can't be used:\n" + "\n".join(lines)

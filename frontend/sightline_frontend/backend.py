"""The detector's HTTP API as the pages use it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self

import httpx

from sightline_engines import wire
from sightline_engines.errors import SightlineError
from sightline_engines.types import Result
from sightline_frontend.figures import Figures

STATUS_TIMEOUT_S = 2.0
_NO_STREAM = {"seq": 0, "captured_us": 0, "batch_size": 1}  # what only live results say
BUSY_TRIES = 8
LONGEST_BUSY_WAIT_S = 2.0


class BackendError(SightlineError):
    """The detector refused a request or can't be reached."""

    code = "backend"


class RefusedError(BackendError):
    """The detector was reached and said no; `why` is its word for it."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Health:
    """How the detector is and what serves."""

    ready: bool
    model: str
    engine: str
    precision: str
    device: str
    fallback: str | None
    triton: bool = False  # the detector knows a Triton server, which may be down

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read `/health`."""
        told = {name: data[name] for name in cls.__dataclass_fields__ if name != "triton"}
        return cls(**told, triton=data.get("triton") is not None)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked for, with the thresholds it was made for."""

    name: str
    labels: tuple[str, ...]
    input_size_wh: tuple[int, int]
    licence: str
    conf: float
    iou: float

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read one entry of `/api/models`."""
        defaults = data["defaults"]
        width, height = data["input_size_wh"]
        return cls(
            name=data["name"],
            labels=tuple(data["labels"]),
            input_size_wh=(int(width), int(height)),
            licence=data["licence"],
            conf=defaults["conf"],
            iou=defaults["iou"],
        )


class Backend:
    """Asks the detector over HTTP; may be used from several threads."""

    def __init__(self, url: str, timeout_s: float, admin_token: str | None = None) -> None:
        self.url = url
        # Connections are not kept: a page's process may hold this object for weeks.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=url, timeout=timeout_s, limits=limits, trust_env=False)
        self._password = {"authorization": f"Bearer {admin_token}"} if admin_token else {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def health(self) -> Health | None:
        """Return the detector's state, None if it can't be reached."""
        try:
            return Health.from_dict(self._get("/health"))
        except (BackendError, KeyError, TypeError):
            return None

    def models(self) -> tuple[Model, ...]:
        """Return the models that can detect, the default first; none if nobody answers."""
        try:
            listed = self._get("/api/models")
            # A checkpoint detects nothing before it is converted, which the page Models does.
            return tuple(Model.from_dict(one) for one in listed if one.get("format") != "pt")
        except (AttributeError, BackendError, KeyError, TypeError, ValueError):
            return ()

    def figures(self, minutes: float) -> Figures | None:
        """Return the last minutes' figures, None if there are none, or it can't be reached."""
        try:
            return Figures.from_dict(self._get(f"/api/monitor?minutes={minutes:g}"))
        except (BackendError, KeyError, TypeError, ValueError, OverflowError):
            return None

    def read(self, path: str, **asked: Any) -> Any:
        """Return what the detector answers to a question; raises BackendError."""
        wanted = {name: value for name, value in asked.items() if value is not None}
        try:
            return _answer(self._client.get(path, params=wanted))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def change(
        self, method: str, path: str, body: Any = None, *, timeout_s: float | None = None
    ) -> Any:
        """Have the detector do something, with the password; raises BackendError."""
        return self._ask(method, path, timeout_s, json=body)

    def send(
        self, path: str, content: Iterable[bytes], size: int, timeout_s: float, **asked: str | None
    ) -> Any:
        """Send a file of `size` bytes piece by piece, with the password; raises BackendError."""
        wanted = {name: value for name, value in asked.items() if value is not None}
        length = {"content-length": str(size)}
        return self._ask("POST", path, timeout_s, content=content, params=wanted, headers=length)

    def _ask(self, method: str, path: str, timeout_s: float | None, **what: Any) -> Any:
        timeout = timeout_s or self._client.timeout
        headers = {**what.pop("headers", {}), **self._password}
        try:
            return _answer(
                self._client.request(method, path, headers=headers, timeout=timeout, **what)
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def stream(self, path: str, **asked: Any) -> AbstractContextManager[httpx.Response]:
        """Return an answer that comes piece by piece; raises httpx.HTTPError when entered."""
        return self._client.stream("GET", path, params=asked)

    def file(self, path: str, **asked: Any) -> bytes:
        """Return a file; raises BackendError."""
        try:
            response = self._client.get(path, params=asked)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            _answer(response)
        return response.content

    def detect(self, picture: bytes, settings: wire.Settings) -> Result:
        """Return a picture's detections; raises BackendError.

        Waits and asks again while the detector says that it is busy.
        """
        for attempt in range(BUSY_TRIES):
            response = self._post(picture, settings)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            if attempt + 1 < BUSY_TRIES:
                time.sleep(_retry_after_s(response))
        try:
            return wire.result_from_dict({**_NO_STREAM, **_answer(response)})
        except (KeyError, TypeError, ValueError) as error:
            raise _no_sightline(response) from error

    def _post(self, picture: bytes, settings: wire.Settings) -> httpx.Response:
        asked = {
            "conf": settings.conf,
            "iou": settings.iou,
            "max_detections": settings.max_detections,
            "model": settings.model,
            "classes": list(settings.classes or ()) or None,
        }
        fields = {name: value for name, value in asked.items() if value is not None}
        try:
            return self._client.post("/detect", files={"file": ("picture", picture)}, data=fields)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _get(self, path: str) -> Any:
        try:
            return _answer(self._client.get(path, timeout=STATUS_TIMEOUT_S))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> BackendError:
        reason = str(error) or type(error).__name__
        return BackendError(
            f"The detector at {self.url} doesn't answer: {reason}. Start it with "
            "`sightline serve`, or set SIGHTLINE_BACKEND_URL to where it is."
        )


def _retry_after_s(response: httpx.Response) -> float:
    """Return how long to wait; a proxy may give a date (RFC 9110), which is not worth reading."""
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_BUSY_WAIT_S) if text.isdecimal() else 0.25


def _answer(response: httpx.Response) -> Any:
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        data = response.json()
    except ValueError as error:
        raise _no_sightline(response) from error
    if response.is_error:
        try:
            raise RefusedError(str(data["error"]["message"]), str(data["error"].get("code", "")))
        except (AttributeError, KeyError, TypeError) as error:
            raise _no_sightline(response) from error
    return data


def _no_sightline(response: httpx.Response) -> BackendError:
    return BackendError(
        f"{response.request.url} answers {response.status_code}, but not as Sightline does. "
        "Does SIGHTLINE_BACKEND_URL name the right address?"
    )

"""Send requests that are made already, and look at nothing of the answer but its status."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from sightline_engines.triton.options import Protocol as ProtocolName

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_GRPC_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # else all channels are one connection
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what they are."""

    protocol: ProtocolName
    url: str  # host:port
    path: str  # of HTTP
    bodies: tuple[bytes, ...]  # sent in turn
    headers: Mapping[str, str]  # of HTTP
    timeout_s: float


class SendFailed(Exception):
    """A request that wasn't answered well; `kind` is what it is counted under."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind
        self.said = said


class Sender(Protocol):
    """Sends one request at a time."""

    def send(self, body: bytes) -> None:
        """Return when the answer is there; raises SendFailed."""
        ...


def sender(target: Target) -> Sender:
    """Return a connection of its own."""
    match target.protocol:
        case "grpc":
            return _GrpcSender(target)
        case "http":
            return _HttpSender(target)


class _GrpcSender:
    def __init__(self, target: Target) -> None:
        import grpc

        self._timeout_s = target.timeout_s
        self._failed: type[Exception] = grpc.RpcError
        channel = grpc.insecure_channel(target.url, options=_GRPC_OPTIONS)
        self._call = channel.unary_unary(_METHOD)  # bytes in, bytes out: nothing is parsed

    def send(self, body: bytes) -> None:
        try:
            self._call(body, timeout=self._timeout_s)
        except self._failed as error:
            status = error.code().name.lower()  # type: ignore[attr-defined]
            raise SendFailed(status, str(error.details())) from error  # type: ignore[attr-defined]


class _HttpSender:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._headers = dict(target.headers)
        host, _, port = target.url.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=target.timeout_s)

    def send(self, body: bytes) -> None:
        try:
            self._connection.request("POST", self._target.path, body, self._headers)
            answer = self._connection.getresponse()
            said = answer.read()
        except TimeoutError as error:
            self._reset()
            limit = f"no answer within {self._target.timeout_s:g} s"
            raise SendFailed("deadline_exceeded", limit) from error
        except (OSError, http.client.HTTPException) as error:
            self._reset()
            raise SendFailed("unavailable", str(error) or type(error).__name__) from error
        if answer.status != 200:
            text = said[:500].decode(errors="replace")
            raise SendFailed(f"http_{answer.status}", text)

    def _reset(self) -> None:
        with suppress(OSError):
            self._connection.close()  # the next request opens it anew

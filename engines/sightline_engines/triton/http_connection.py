"""A connection over HTTP whose every step ends at a deadline of the whole exchange."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MOST_BYTES = 2**31 - 1  # of an answer, as over gRPC


@dataclass(frozen=True, slots=True)
class Sent:
    """A request; `body` goes piece by piece, so that nothing large is copied together."""

    verb: str
    path: str
    body: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False  # sent twice it does what it does once


@dataclass(frozen=True, slots=True)
class Got:
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HttpConnection:
    """Asks one server, one request at a time; connects at the first.

    `http.client` sets a limit to each single read, so that a server which sends a byte now and
    then would hold its caller for ever; here each read and write has what is left.
    """

    def __init__(self, url: str) -> None:
        self._plain = http.client.HTTPConnection(url)
        self._timed: _TimedSocket | None = None

    def ask(self, sent: Sent, end_s: float) -> Got:
        """Return the answer; raises TimeoutError at `end_s`, else OSError or HTTPException."""
        if self._plain.sock is None or self._timed is None:
            self._timed = _TimedSocket(_connected(self._plain.host, self._plain.port, end_s))
            self._plain.sock = self._timed
        self._timed.end_s = end_s
        size = sum(len(piece) for piece in sent.body)
        headers = {"Content-Length": str(size), **sent.headers}
        self._plain.request(sent.verb, f"/{sent.path}", iter(sent.body), headers)
        response = self._plain.getresponse()
        if (response.length or 0) > _MOST_BYTES:
            raise http.client.HTTPException(f"its answer has {response.length} bytes")
        content = response.read()  # IncompleteRead if it is cut off
        told = {name.lower(): value for name, value in response.getheaders()}
        return Got(response.status, told, content)

    def close(self) -> None:
        """End it."""
        self._plain.close()


class _TimedSocket:
    """What `http.client` uses of a socket, each step of it with the time that is left."""

    def __init__(self, inner: socket.socket) -> None:
        self.end_s = 0.0
        self._inner = inner

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(left(self.end_s))
        self._inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._inner))

    def close(self) -> None:
        self._inner.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket, inner: socket.socket) -> None:
        self._timed = timed
        self._socket = inner
        self._file: Any = inner.makefile("rb", buffering=0)  # keeps the socket open until read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(left(self._timed.end_s))
        found: int | None = self._file.readinto(buffer)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


def left(end_s: float) -> float:
    """Return the seconds until a moment; raises TimeoutError once it has passed."""
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _connected(host: str, port: int, end_s: float) -> socket.socket:
    """Try a host's addresses one after the other, all before the deadline."""
    failure: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        one = socket.socket(family, kind, protocol)
        try:
            one.settimeout(left(end_s))
            one.connect(address)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            one.close()
            failure = error
        else:
            return one
    raise failure or OSError(f"{host} has no address")

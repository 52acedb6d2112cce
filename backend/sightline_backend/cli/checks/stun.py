"""STUN (RFC 8489) as far as a test needs it: ask a server how it sees us."""

from __future__ import annotations

import secrets
import socket
import struct
from contextlib import suppress

_COOKIE = 0x2112A442
_BINDING_REQUEST, _BINDING_ANSWER = 0x0001, 0x0101
_TRIES = 3  # a datagram may get lost


def answers(host: str, port: int, *, tcp: bool = False, timeout_s: float = 1.5) -> bool:
    """Tell whether a STUN or TURN server answers a binding request."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except OSError:
        return False
    family, kind, _, _, address = found[0]
    for _ in range(1 if tcp else _TRIES):
        with socket.socket(family, kind) as channel, suppress(OSError):
            channel.settimeout(timeout_s)
            channel.connect(address)
            request = binding_request()
            channel.send(request)
            if is_answer(channel.recv(2048), request):
                return True
    return False


def binding_request() -> bytes:
    """Return a request without attributes: type, length, cookie, a random transaction."""
    return struct.pack("!HHI", _BINDING_REQUEST, 0, _COOKIE) + secrets.token_bytes(12)


def is_answer(data: bytes, request: bytes) -> bool:
    """Tell whether a message is the good answer to a request."""
    if len(data) < 20:
        return False
    kind, _, cookie = struct.unpack_from("!HHI", data)
    return kind == _BINDING_ANSWER and cookie == _COOKIE and data[8:20] == request[8:20]

"""Asking a server that is none of ours to ask."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sightline_engines.errors import EngineAwayError
from sightline_engines.triton.client import (
    open_client,
)
from sightline_engines.triton.options import Protocol, TritonOptions

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")


@contextmanager
def listener(answer: bytes) -> Iterator[int]:
    """Run a server that answers each connection with some bytes and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    connection.sendall(answer)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in held:
                one.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"SSH-2.0-nothing\r\n"]
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whatever_else_listens_there_is_no_triton_and_holds_nobody_up(
    answer: bytes, protocol: Protocol
) -> None:
    with listener(answer) as port:
        options = TritonOptions(f"127.0.0.1:{port}", f"127.0.0.1:{port}", protocol, timeout_s=0.3)
        with open_client(options) as client, pytest.raises(EngineAwayError, match=str(port)):
            client.server()

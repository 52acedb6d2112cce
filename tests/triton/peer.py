"""A server on a socket that does as a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


def requested(connection: socket.socket) -> bytes:
    """Return the first line of a request, once all of it is there."""
    with connection.makefile("rb") as file:
        lines = list(iter(file.readline, b"\r\n")) if file.peek(1) else [b""]
        told = dict(line.lower().strip().split(b": ", 1) for line in lines[1:])
        file.read(int(told.get(b"content-length", 0)))
    return lines[0]


@contextmanager
def peer(act: Callable[[socket.socket], None], *, read: bool = True) -> Iterator[int]:
    """Run a server that does something with each connection, once it was asked, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                if read:
                    requested(connection)
                act(connection)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()

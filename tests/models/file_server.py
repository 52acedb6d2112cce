"""A real HTTP server on this machine that serves one file, well or badly, as a test scripts it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Lets the next scripted answer write the response."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        script = self.server.script
        script.asked.append(dict(self.headers))
        answer = script.answers[min(len(script.asked), len(script.answers)) - 1]
        try:
            answer(self, script.content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def start(self, status: int, **headers: str | int) -> None:
        """Send the status and the headers, underscores standing for dashes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def hang_up(self) -> None:
        """Close the connection, whatever was promised."""
        self.wfile.flush()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """The server with its script."""

    daemon_threads = True
    script: Script


@dataclass(slots=True, eq=False)
class Script:
    """What is served, how each request is answered (the last for all further), what was asked."""

    content: bytes
    answers: list[Answer]
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """Run a server; gives the file's address."""
    server = Server(("127.0.0.1", 0), Handler)
    server.script = script
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/file.onnx"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def whole(to: Handler, content: bytes) -> None:
    """Send all of it, Range or not."""
    to.start(200, Content_Length=len(content), ETag='"one"')
    to.wfile.write(content)


def ranged(to: Handler, content: bytes) -> None:
    """Send what is asked for, as long as the ETag still holds."""
    if "Range" not in to.headers or to.headers.get("If-Range") != '"one"':
        whole(to, content)
        return
    start = int(to.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    rest, size = content[start:], len(content)
    said = f"bytes {start}-{size - 1}/{size}"
    to.start(206, Content_Length=len(rest), ETag='"one"', Content_Range=said)
    to.wfile.write(rest)


def first(count: int) -> Answer:
    """Promise all, send so many bytes and hang up."""

    def answer(to: Handler, content: bytes) -> None:
        to.start(200, Content_Length=len(content), ETag='"one"')
        to.wfile.write(content[:count])
        to.hang_up()

    return answer


def stall(to: Handler, content: bytes) -> None:
    """Send a little, then nothing, and keep the connection."""
    to.start(200, Content_Length=len(content), ETag='"one"')
    to.wfile.write(content[:10])
    to.wfile.flush()
    time.sleep(1)
    to.hang_up()


def status(number: int) -> Answer:
    """Answer with an error."""
    return lambda to, _: to.start(number, Content_Length=0)


def redirect(to_where: str) -> Answer:
    """Send the client elsewhere."""
    return lambda to, _: to.start(302, Location=to_where, Content_Length=0)


def claims(length: int) -> Answer:
    """Announce another length than the file's."""

    def answer(to: Handler, content: bytes) -> None:
        to.start(200, Content_Length=length)
        to.wfile.write(content[:length].ljust(length, b"x"))

    return answer


def endless(to: Handler, content: bytes) -> None:
    """Send on and on, announcing nothing."""
    to.start(200, Connection="close")
    for _ in range(1000):
        to.wfile.write(content)
    to.hang_up()


def other_part(to: Handler, content: bytes) -> None:
    """Answer a Range with another part than was asked for."""
    if "Range" not in to.headers:
        whole(to, content)
        return
    said = f"bytes 0-9/{len(content)}"
    to.start(206, Content_Length=10, ETag='"one"', Content_Range=said)
    to.wfile.write(content[:10])

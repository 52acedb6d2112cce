"""The services that alerts are sent to, on this machine: a mail server and a web server."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.cli.running import free_port
from tests.monitoring.payloads import CHECKS

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Mail:
    """A message as the mail server took it."""

    sender: str
    recipients: tuple[str, ...]
    encrypted: bool
    login: str | None
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"])

    def body(self, kind: str) -> str:
        """Return the part of a kind, `plain` or `html`."""
        part = self.message.get_body((kind,))
        assert part is not None, f"no {kind} part"
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass(frozen=True, eq=False)  # slots: aiosmtpd looks at every member, __weakref__ too
class MailServer:
    """A running SMTP server and what it was sent."""

    address: str  # host:port
    mails: list[Mail] = field(default_factory=list)

    def wait_for(self, count: int = 1, timeout_s: float = PATIENCE_S) -> list[Mail]:
        """Return the mails once there are that many."""
        _wait(lambda: len(self.mails) >= count, timeout_s, lambda: [m.subject for m in self.mails])
        return list(self.mails)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message."""
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        login = session.auth_data
        self.mails.append(
            Mail(
                str(envelope.mail_from),
                tuple(envelope.rcpt_tos),
                session.ssl is not None,
                login.login.decode() if isinstance(login, LoginPassword) else None,
                message,
            )
        )
        return "250 taken"


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> Iterator[MailServer]:
    """Run a mail server on a free port.

    Args:
        tls: its certificate; with one it insists on STARTTLS.
        login: the only name and password that it takes; it then wants one.
    """

    def allowed(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        known = (data.login.decode(), data.password.decode()) == login
        return AuthResult(success=known, handled=known, auth_data=data)

    port = free_port()
    mails = MailServer(f"127.0.0.1:{port}")
    controller = Controller(
        mails,
        hostname="127.0.0.1",
        port=port,
        tls_context=tls,
        require_starttls=tls is not None,
        authenticator=allowed if login else None,
        auth_required=login is not None,
        auth_exclude_mechanism=["LOGIN"],  # it asks in words that Alertmanager doesn't know
    )
    controller.start()
    try:
        yield mails
    finally:
        controller.stop()


@dataclass(frozen=True, slots=True, eq=False)
class Post:
    """One request, taken or refused."""

    path: str
    token: str | None  # the Authorization header
    body: dict[str, Any]
    fault: str | None  # what the service would not have taken


@dataclass(frozen=True, slots=True, eq=False)
class WebServer:
    """A running web server, which answers as Slack, Teams or any webhook would."""

    url: str
    posts: list[Post] = field(default_factory=list)

    def to(self, name: str) -> list[Post]:
        """Return what was sent to /NAME; raise if the service would have refused any of it."""
        posts = [post for post in self.posts if post.path == f"/{name}"]
        faults = [post.fault for post in posts if post.fault]
        assert not faults, faults
        return posts

    def wait_for(self, name: str, count: int = 1, timeout_s: float = PATIENCE_S) -> list[Post]:
        """Return what was sent to /NAME once there is that much."""
        _wait(lambda: len(self.to(name)) >= count, timeout_s, lambda: self.posts)
        return self.to(name)


@contextmanager
def web_server() -> Iterator[WebServer]:
    """Run the services on a free port at /slack, /teams, /webhook and /watchdog."""
    posts: list[Post] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name = self.path.removeprefix("/")
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            body, fault = json.loads(raw), None
            try:
                status, answer = CHECKS[name](body, len(raw))
            except (AssertionError, LookupError, TypeError, ValueError) as error:
                status, answer, fault = 400, "invalid_payload", f"{error!r}: {body}"
            posts.append(Post(self.path, self.headers["Authorization"], body, fault))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield WebServer(f"http://127.0.0.1:{server.server_address[1]}", posts)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _wait(done: Callable[[], bool], timeout_s: float, found: Callable[[], object]) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end, f"waited {timeout_s:g} s, there came {found()}"
        time.sleep(0.05)

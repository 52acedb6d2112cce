"""Run the app under uvicorn: its WebSocket limits, and a stop that tells every client."""

from __future__ import annotations

import gc
import signal
import socket
import time
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sightline_backend.app import create_app
from sightline_backend.errors import PortTakenError
from sightline_backend.service import Service
from sightline_backend.settings import Settings
from sightline_engines.wire import HEADER_BYTES

PING_S = 20.0
HARD_LIMIT = 4  # times the largest frame: beyond it a message ends the stream (1009)
LINGER_S = 2.0  # how long a client may take to read what is left after its close

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LiveProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, made to let go of clients that never read.

    As it comes, a close waits for the client to read what was sent before, for ever.
    """

    async def send(self, message: uvicorn._types.ASGISendEvent) -> None:
        """Send; a close goes behind what is buffered instead of waiting for it to drain."""
        if message["type"] == "websocket.close":
            self.writable.set()
            self.loop.call_later(LINGER_S, self.transport.abort)
        await super().send(message)


class LiveServer(uvicorn.Server):
    """uvicorn's server, which ends the live streams with code 1001 before it stops."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        super().__init__(
            uvicorn.Config(
                app,
                ws=LiveProtocol,
                ws_max_size=HARD_LIMIT * settings.max_frame_bytes + HEADER_BYTES,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                ws_per_message_deflate=False,  # JPEG doesn't shrink, and answers are short
                lifespan="off",  # `serve` enters it, so that its errors are plain exceptions
                access_log=False,
                log_config=None,
                server_header=False,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal; at a second Ctrl-C without waiting for work in hand.

        uvicorn's own raises the signal once more after it has stopped, which would kill the
        process before its engines are closed.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            log.info("serving", address=f"http://{host}:{port}", docs="/docs")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more streams, close the open ones, then stop as uvicorn does.

        Both together take no longer than the one time that is set for them.
        """
        service: Service = self._app.state.service
        until_s = time.monotonic() + self._settings.shutdown_timeout_s
        await service.sessions.stop(self._settings.shutdown_timeout_s)
        left_s = max(1.0, until_s - time.monotonic())
        self.config.timeout_graceful_shutdown = round(left_s)
        await super().shutdown(sockets)


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; raises SightlineError when the start fails."""
    listener = bind(settings)
    app = create_app(settings)
    with listener:
        async with app.router.lifespan_context(app):
            gc.freeze()  # a full collection over all that was imported held every stream up
            await LiveServer(app, settings).serve([listener])


def bind(settings: Settings) -> socket.socket:
    """Take the port; connections are refused until a server listens. Raises PortTakenError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Without the protocol named, asyncio doesn't know it for TCP and leaves Nagle's algorithm
    # on, which makes every answer 40 ms late.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise PortTakenError(
            f"Can't listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Stop what uses that port, or set SIGHTLINE_PORT or SIGHTLINE_HOST."
        ) from error
    return listener

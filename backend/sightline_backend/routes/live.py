"""WS /ws/detect: the live stream's handshake."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress

import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightline_backend.admission import RateWish
from sightline_backend.ending import full
from sightline_backend.errors import Refused
from sightline_backend.handlers import error_response
from sightline_backend.journal import Journal
from sightline_backend.origins import origin_allowed
from sightline_backend.seat import Seat
from sightline_backend.service import Running, Service
from sightline_backend.session import Session
from sightline_engines import wire

MOST_FPS = 1000.0
STREAM_ID_BYTES = 12  # with a frame's number they make a trace id of 16

router = APIRouter()
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@router.websocket("/ws/detect")
async def live(
    socket: WebSocket, service: Running, fps: str | None = None, min_fps: str | None = None
) -> None:
    """Serve one stream; see `sightline_engines.wire` for the messages.

    `fps` is the rate at which frames will come; it is promised, or a lower one down to
    `min_fps` is, or the stream is refused. Without it the stream shares what others leave.
    """
    try:
        wish = _wish(fps, min_fps)
    except ValueError as error:
        await _deny(socket, service, 400, "bad_rate", str(error))
        return
    problem = _handshake_problem(socket, service)
    if problem is not None:
        await _deny(socket, service, *problem)
        return
    await socket.accept(wire.SUBPROTOCOL)
    stream = secrets.token_hex(STREAM_ID_BYTES)
    structlog.contextvars.bind_contextvars(stream=stream)  # in all of the stream's tasks
    journal = Journal(stream, service.tracer, service.sessions.frame_pace)
    try:
        service.sessions.check_room()  # before any work is done for the stream
        models = tuple(spec.name for spec in await service.pool.specs())
        service.sessions.check_room()  # others may have come in the meantime
        seat = await Seat.take(service.pool, wish)
    except Refused as refused:
        await _turn_away(socket, service, refused)
        return
    session = Session(socket, seat, service.settings, service.telemetry, journal)
    with service.sessions.holding(session):
        log.info("stream opened", model=seat.spec.name, streams=len(service.sessions))
        ending = await session.run(models)
    told = journal.summary()
    log.info("stream closed", why=ending.reason, streams=len(service.sessions), **told)


def _wish(fps: str | None, min_fps: str | None) -> RateWish:
    """Read the rates of the address; raises ValueError."""
    wanted, least = _rate("fps", fps), _rate("min_fps", min_fps)
    if least is not None and wanted is None:
        raise ValueError("min_fps is the least of a rate that is asked for: name fps, too.")
    if wanted is not None and least is not None and least > wanted:
        raise ValueError(f"min_fps is no more than fps; got {least:g} and {wanted:g}.")
    return RateWish(wanted, least)


def _rate(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    with suppress(ValueError):
        if 0 < float(text) <= MOST_FPS:
            return float(text)
    raise ValueError(
        f"{name} is a number of frames a second, above 0 and at most {MOST_FPS:g}; "
        f"got {text[:20]!r}."
    )


async def _turn_away(socket: WebSocket, service: Service, refused: Refused) -> None:
    """Tell why there is no room: after accepting, since browsers hide a refused handshake."""
    service.telemetry.turned_away(refused.reason)
    _log_refusal(service, code=refused.code, reason=refused.reason)
    failure = wire.Failure(refused.code, refused.message, retry_after_s=refused.retry_after_s)
    ending = full(refused.retry_after_s)
    with suppress(WebSocketDisconnect):
        await socket.send_text(wire.message_to_json(failure))
        await socket.close(ending.code or 1013, ending.reason)


def _handshake_problem(socket: WebSocket, service: Service) -> tuple[int, str, str] | None:
    """Return the status, code and message of what is wrong with a handshake."""
    origin, host = socket.headers.get("origin"), socket.headers.get("host")
    if not origin_allowed(origin, host, service.settings.allowed_origins):
        return (
            403,
            "origin_refused",
            f"Pages of {origin} may not use this server; SIGHTLINE_ALLOWED_ORIGINS lets them.",
        )
    if wire.SUBPROTOCOL not in socket.scope["subprotocols"]:
        return (
            400,
            "wrong_subprotocol",
            f"This server speaks the WebSocket subprotocol {wire.SUBPROTOCOL}; ask for it.",
        )
    return None


async def _deny(socket: WebSocket, service: Service, status: int, code: str, message: str) -> None:
    _log_refusal(service, code=code)  # without the message: it holds what the caller wrote
    await socket.send_denial_response(error_response(status, code, message))


def _log_refusal(service: Service, **facts: str) -> None:
    service.sessions.refusals.write(log.info, time.monotonic(), "stream refused", **facts)

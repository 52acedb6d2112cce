"""WS /ws/detect: the live stream's handshake."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import asdict

import structlog
from fastapi import APIRouter
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightline_backend.admission import RateWish
from sightline_backend.ending import full
from sightline_backend.errors import Refused
from sightline_backend.journal import Journal
from sightline_backend.origins import origin_allowed
from sightline_backend.seat import Seat
from sightline_backend.service import Running, Service
from sightline_backend.session import Session
from sightline_backend.telemetry import Telemetry
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
        await socket.send_denial_response(_denial(400, "bad_rate", str(error)))
        return
    problem = _handshake_problem(socket, service)
    if problem is not None:
        await socket.send_denial_response(problem)
        return
    await socket.accept(wire.SUBPROTOCOL)
    journal = Journal(secrets.token_hex(STREAM_ID_BYTES), service.tracer)
    structlog.contextvars.bind_contextvars(stream=journal.stream)  # in all of the stream's tasks
    try:
        service.sessions.check_room()  # before any work is done for the stream
        models = tuple(spec.name for spec in await service.pool.specs())
        service.sessions.check_room()  # others may have come in the meantime
        seat = await Seat.take(service.pool, wish)
    except Refused as refused:
        await _turn_away(socket, refused, service.telemetry)
        return
    session = Session(socket, seat, service.settings, service.telemetry, journal)
    with service.sessions.holding(session):
        log.info("stream opened", model=seat.spec.name, streams=len(service.sessions))
        ending = await session.run(models)
    counts = asdict(journal.counts)
    log.info("stream closed", why=ending.reason, streams=len(service.sessions), **counts)


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


async def _turn_away(socket: WebSocket, refused: Refused, telemetry: Telemetry) -> None:
    """Tell why there is no room: after accepting, since browsers hide a refused handshake."""
    telemetry.turned_away(refused.reason)
    log.info("stream refused", code=refused.code, reason=refused.reason)
    failure = wire.Failure(refused.code, refused.message, retry_after_s=refused.retry_after_s)
    ending = full(refused.retry_after_s)
    with suppress(WebSocketDisconnect):
        await socket.send_text(wire.message_to_json(failure))
        await socket.close(ending.code or 1013, ending.reason)


def _handshake_problem(socket: WebSocket, service: Service) -> JSONResponse | None:
    origin, host = socket.headers.get("origin"), socket.headers.get("host")
    if not origin_allowed(origin, host, service.settings.allowed_origins):
        return _denial(
            403,
            "origin_refused",
            f"Pages of {origin} may not use this server; SIGHTLINE_ALLOWED_ORIGINS lets them.",
        )
    if wire.SUBPROTOCOL not in socket.scope["subprotocols"]:
        return _denial(
            400,
            "wrong_subprotocol",
            f"This server speaks the WebSocket subprotocol {wire.SUBPROTOCOL}; ask for it.",
        )
    return None


def _denial(status: int, code: str, message: str) -> JSONResponse:
    log.info("stream refused", code=code, why=message[:200])
    return JSONResponse({"error": {"code": code, "message": message}}, status)

"""WS /ws/detect: the live stream's handshake."""

from __future__ import annotations

from contextlib import suppress

import structlog
from fastapi import APIRouter
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightline_backend.ending import full
from sightline_backend.errors import Refused
from sightline_backend.origins import origin_allowed
from sightline_backend.seat import Seat
from sightline_backend.service import Running, Service
from sightline_backend.session import Session
from sightline_engines import wire

router = APIRouter()
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@router.websocket("/ws/detect")
async def live(socket: WebSocket, service: Running) -> None:
    """Serve one stream; see `sightline_engines.wire` for the messages."""
    problem = _handshake_problem(socket, service)
    if problem is not None:
        await socket.send_denial_response(problem)
        return
    await socket.accept(wire.SUBPROTOCOL)
    try:
        service.sessions.check_room()  # before any work is done for the stream
        models = tuple(spec.name for spec in await service.pool.specs())
        service.sessions.check_room()  # others may have come in the meantime
        seat = await Seat.take(service.pool, None, wire.Settings())
    except Refused as refused:
        await _turn_away(socket, refused)
        return
    session = Session(socket, seat, service.pool, service.settings, service.telemetry)
    with service.sessions.holding(session):
        log.info("stream opened", model=seat.spec.name, streams=len(service.sessions))
        ending = await session.run(models)
    log.info("stream closed", why=ending.reason, streams=len(service.sessions))


async def _turn_away(socket: WebSocket, refused: Refused) -> None:
    """Tell why there is no room: after accepting, since browsers hide a refused handshake."""
    failure = wire.Failure(refused.code, refused.message)
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
    return JSONResponse({"error": {"code": code, "message": message}}, status)

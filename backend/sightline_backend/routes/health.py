"""GET /health and the two probes below it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from sightline_backend.schemas import ErrorAnswer, Health
from sightline_backend.service import Running, Service
from sightline_backend.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/health", summary="How the server is, and what serves")
async def health(service: Running) -> Health:
    """Always 200 while the server answers at all; for probes that read only the status, see
    /health/live and /health/ready.
    """
    served = service.pool.default.served
    return Health(
        status=_status(service),
        live=True,
        ready=service.trouble is None,
        trouble=service.trouble,
        version=VERSION,
        model=served.name,
        engine=served.engine,
        precision=served.precision,
        device=served.device,
        fallback=served.fallback,
        streams=len(service.sessions),
    )


@router.get("/health/live", status_code=204, summary="204 while the process answers")
async def live() -> Response:
    """Answer, so that a probe knows the event loop turns."""
    return Response(status_code=204)


@router.get(
    "/health/ready",
    status_code=204,
    summary="204 while new work is taken, else 503",
    responses={503: {"model": ErrorAnswer}},
)
async def ready(service: Running) -> Response:
    """Tell a load balancer whether to send work here."""
    if service.trouble is None:
        return Response(status_code=204)
    return JSONResponse({"error": {"code": "not_ready", "message": service.trouble}}, 503)


def _status(service: Service) -> Literal["ready", "recovering", "stopping"]:
    if service.sessions.stopping:
        return "stopping"
    return "ready" if service.trouble is None else "recovering"

"""GET /health and the two probes below it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from sightline_backend.schemas import ErrorAnswer, Health
from sightline_backend.service import Running
from sightline_backend.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/health", summary="How the server is, and what serves")
async def health(service: Running) -> Health:
    """Always 200 while the server answers at all; for probes that read only the status, see
    /health/live and /health/ready.
    """
    served = service.pool.default.engine.served
    return Health(
        status="ready" if service.ready else "stopping",
        live=True,
        ready=service.ready,
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
    if service.ready:
        return Response(status_code=204)
    error = {"code": "not_ready", "message": "The server takes no new work at the moment."}
    return JSONResponse({"error": error}, 503)

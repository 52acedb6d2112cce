"""GET /health and the two probes below it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from sightline_backend.schemas import ErrorAnswer, Health, TritonHealth
from sightline_backend.service import Running, Service
from sightline_backend.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/health", summary="How the server is, and what serves")
async def health(service: Running) -> Health:
    """Always 200 while the server answers at all, and at once: Triton isn't asked, what was seen
    of it last is told. For probes that read only the status, see
    /health/live and /health/ready.
    """
    served, unready = service.pool.default.served, _unready(service)
    return Health(
        status=_status(service),
        live=True,
        ready=unready is None,
        trouble=unready,
        version=VERSION,
        model=served.name,
        engine=served.engine,
        precision=served.precision,
        device=served.device,
        fallback=served.fallback,
        streams=len(service.sessions),
        triton=_triton(service),
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
    unready = _unready(service)
    if unready is None:
        return Response(status_code=204)
    return JSONResponse({"error": {"code": "not_ready", "message": unready}}, 503)


def _unready(service: Service) -> str | None:
    """Return why nobody should be sent here; without a frame it is the watch that finds out."""
    if service.trouble is not None or service.settings.triton_fallback is not None:
        return service.trouble
    served = service.pool.default.served
    return service.triton.link.away if served.engine == "triton" else None


def _status(service: Service) -> Literal["ready", "recovering", "stopping"]:
    if service.sessions.stopping:
        return "stopping"
    return "ready" if _unready(service) is None else "recovering"


def _triton(service: Service) -> TritonHealth | None:
    link = service.triton.link
    if link.options is None:
        return None
    seen = link.last
    return TritonHealth(url=link.options.url, live=seen.live, ready=seen.ready, models=seen.states)

"""GET /metrics: everything in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from sightline_backend.handlers import error_response
from sightline_backend.service import Running

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(service: Running) -> Response:
    """Write the metrics; on a thread of its own, so that a scrape never holds a frame up."""
    try:
        body = await service.scrape.text()
    except TimeoutError:
        advice = "Something that is read for a scrape hangs, a GPU's driver perhaps; see the log."
        return error_response(503, "metrics_hang", advice)
    return Response(body, media_type=CONTENT_TYPE_LATEST)

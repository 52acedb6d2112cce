"""GET /metrics: everything in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from sightline_backend.service import Running

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
def metrics(service: Running) -> Response:
    """Write the metrics; on a thread of its own, so that a scrape never holds a frame up."""
    body = generate_latest(service.telemetry.metrics.registry)
    return Response(body, media_type=CONTENT_TYPE_LATEST)

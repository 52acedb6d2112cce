"""GET /api/monitor: the last minutes in figures, and what is wrong now, in words."""

from __future__ import annotations

import time
from dataclasses import fields
from functools import lru_cache, partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from sightline_backend.handlers import error_response
from sightline_backend.schemas import ERRORS
from sightline_backend.service import Running
from sightline_monitoring.figures import Figures
from sightline_monitoring.history import LONGEST_S, WINDOW_S, History, Point
from sightline_monitoring.reading import LOOP_LAG, REFUSALS, RESTARTS
from sightline_monitoring.trouble import Severity, State, find_trouble

MOST_POINTS = 150  # of a series; more would be finer than a screen

router = APIRouter(prefix="/api", tags=["health"])


class TroubleAnswer(BaseModel):
    """One thing that is wrong now."""

    code: str = Field(examples=["late"])
    severity: Severity = Field(description="As of its alert: page somebody, or write a ticket.")
    message: str


class MonitorAnswer(BaseModel):
    """The figures of the last minutes.

    Names end in their unit: `_fps` pictures a second, `_s` seconds, `_share` 0 to 1, `_cpu`
    processors in use, `_frames` how many. Rates, quantiles, means and counts are over `window_s`
    before each time.
    """

    status: str = Field(
        description="healthy, idle while no stream is open, or the code of the worst trouble.",
        examples=["healthy"],
    )
    trouble: list[TroubleAnswer] = Field(description="The worst first.")
    every_s: float
    window_s: float
    now: Figures = Field(description="The newest figures; null: none here, or nothing observed.")
    times: list[float] = Field(description="Unix times in seconds, oldest first.")
    series: dict[str, list[float | None]] = Field(description="Each figure of `now` at `times`.")


@router.get(
    "/monitor",
    summary="The last minutes in figures, and what is wrong now",
    response_model=MonitorAnswer,
    responses={422: ERRORS[422], 503: ERRORS[503]},
)
async def monitor(
    service: Running,
    minutes: Annotated[
        int, Query(ge=1, le=int(LONGEST_S / 60), description="How far back the series go.")
    ] = 5,
) -> Response:
    """Return what the pages' Monitor draws, at most 150 points a series: what Prometheus would
    say over the same seconds, from the same counters.
    """
    why = service.trouble
    fallback = None if why else service.pool.default.served.fallback
    # Not on the event loop: thousands of numbers are written, and no frame should wait for them.
    write = partial(_written, service.history, service.history.latest_s, why, fallback, minutes)
    try:
        written = await service.reader.run(write)
    except TimeoutError:
        advice = (
            "Something that is read for the figures hangs, a GPU's driver perhaps; see the log."
        )
        return error_response(503, "metrics_hang", advice)
    return Response(written, media_type="application/json")


@lru_cache(maxsize=32)
def _written(
    history: History,
    latest_s: float | None,  # the answer stays the same until the next reading
    not_ready: str | None,
    fallback: str | None,
    minutes: int,
) -> str:
    """Write an answer, once for all who ask: a crowd costs what one does."""
    return answer(history, not_ready, fallback, minutes * 60).model_dump_json()


def answer(
    history: History, not_ready: str | None, fallback: str | None, seconds: float
) -> MonitorAnswer:
    """Return the last seconds of a history, and what is wrong at its end."""
    points = history.points(seconds)
    now = points[-1].figures if points else Figures()
    trouble = find_trouble(now, _state(history, not_ready, fallback))
    shown = thinned(points, history.every_s)
    # Readings are by a clock that never jumps; pages want the time of day.
    zero_s = time.time() - time.monotonic()
    return MonitorAnswer(
        status=trouble[0].code if trouble else _well(now),
        trouble=[
            TroubleAnswer(code=one.code, severity=one.severity, message=one.message)
            for one in trouble
        ],
        every_s=history.every_s,
        window_s=WINDOW_S,
        now=now,
        times=[round(point.at_s + zero_s, 1) for point in shown],
        series={
            field.name: [_rounded(getattr(point.figures, field.name)) for point in shown]
            for field in fields(Figures)
        },
    )


def _state(history: History, not_ready: str | None, fallback: str | None) -> State:
    quarter, minute = history.span(LONGEST_S), history.span(60)
    turned_away = {
        reason: minute.increase(sample) or 0.0
        for reason, sample in minute.labelled(REFUSALS).items()
        if reason != "closing"  # a server that stops is nobody's trouble
    }
    restarts = quarter.increase(*quarter.labelled(RESTARTS).values())
    loop_lag_p99_s = minute.quantile(LOOP_LAG, 0.99)
    return State(not_ready, fallback, restarts or 0.0, turned_away, loop_lag_p99_s)


def _well(now: Figures) -> Literal["healthy", "idle"]:
    return "healthy" if now.streams or now.answered_fps else "idle"


def thinned(points: list[Point], every_s: float) -> list[Point]:
    """Return every n-th point and the newest; which ones doesn't change as time goes on."""
    step = -(-len(points) // MOST_POINTS) or 1
    kept = [point for point in points[:-1] if round(point.at_s / every_s) % step == 0]
    return [*kept, *points[-1:]][-MOST_POINTS:]


def _rounded(value: float | None) -> float | None:
    """Drop digits that no screen shows; they are half of the answer's bytes."""
    return None if value is None else float(f"{value:.5g}")

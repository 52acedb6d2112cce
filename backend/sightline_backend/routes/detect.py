"""POST /detect: one picture in, its detections out."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sightline_backend.access import Call, Detected
from sightline_backend.batch import Done, Failed, NotRun, Outcome, Work
from sightline_backend.errors import Refused, ReportedError
from sightline_backend.formats import Format, as_csv, as_image, as_json, as_roboflow
from sightline_backend.options import detect_options
from sightline_backend.schemas import ERRORS, DetectAnswer, DetectFields, DetectForm
from sightline_backend.service import Running
from sightline_engines import wire
from sightline_engines.errors import SightlineError
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.preprocess import fitted
from sightline_engines.types import Image, ModelSpec, Result, ServedModel

router = APIRouter(tags=["detection"])

_OTHER_FORMATS = {
    "content": {
        "text/csv": {"schema": {"type": "string"}},
        "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
    }
}


@router.post(
    "/detect",
    summary="Detect objects in a picture",
    response_model=DetectAnswer,
    responses={200: _OTHER_FORMATS, **ERRORS},
)
async def detect(
    request: Request,
    service: Running,
    query: Annotated[DetectFields, Query()],
    form: Annotated[DetectForm, Form(media_type="multipart/form-data")],
) -> Response:
    """Send a picture as the multipart field `file`; the other fields may be form fields or
    part of the address.

    `curl -F file=@street.jpg 'http://127.0.0.1:8000/detect?conf=0.4&classes=person'`
    """
    asked = query.model_copy(update=form.model_dump(exclude_unset=True, exclude={"file"}))
    received_s = time.monotonic()
    picture = await form.file.read()
    with service.uploads.holding(received_s):
        async with service.pool.using(asked.model) as batcher, service.decoded:
            options = detect_options(batcher.spec, _as_settings(asked))
            decoding_s = time.monotonic()
            try:
                image, fit = await asyncio.to_thread(
                    _decoded, picture, service.limits, batcher.spec
                )
            except SightlineError:
                service.telemetry.frame_refused()
                raise
            decode_ms = (time.monotonic() - decoding_s) * 1e3
            height, width = image.shape[:2]
            work = Work(fit, options, received_s, math.inf, (width, height), decode_ms)
            outcome = await batcher.enqueue(work)
            if isinstance(outcome, Done):
                call: Call = request.state.call
                call.detected = Detected(received_s, decoding_s, outcome, batcher.served)
            result = _result(outcome, batcher.served)
            return await _answer(asked.format, result, batcher.spec.labels, image)


def _decoded(picture: bytes, limits: PictureLimits, spec: ModelSpec) -> tuple[Image, Image]:
    """Return an upload's pixels, and as few of them as the model will see."""
    image = decode_picture(picture, limits)
    return image, fitted(image, spec)


def _as_settings(asked: DetectFields) -> wire.Settings:
    classes = tuple(part for value in asked.classes for part in value.split(","))
    return wire.Settings(asked.conf, asked.iou, classes, asked.max_detections)


def _result(outcome: Outcome, served: ServedModel) -> Result:
    match outcome:
        case Done(detections, size_wh, timings, batch_size):
            return Result(0, 0, size_wh, detections, timings, served, batch_size)
        case NotRun():
            raise Refused("The server is stopping; try again in a moment.", 5.0, "closing")
        case Failed(code, message):
            raise ReportedError(code, message)


async def _answer(
    wanted: Format, result: Result, labels: tuple[str, ...], image: Image
) -> Response:
    match wanted:
        case "json":
            return JSONResponse(as_json(result, labels))
        case "roboflow":
            return JSONResponse(as_roboflow(result, labels))
        case "csv":
            return Response(as_csv(result, labels), media_type="text/csv")
        case "image":
            jpeg = await asyncio.to_thread(as_image, result, labels, image)
            return Response(jpeg, media_type="image/jpeg")

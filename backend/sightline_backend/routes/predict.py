"""POST /predict: a picture to what is deployed at Triton, its answer back as it is."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Form, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sightline_backend.schemas import ERRORS, PredictAnswer
from sightline_backend.service import Running

router = APIRouter(tags=["detection"])


class PredictForm(BaseModel):
    """The multipart form of /predict."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[UploadFile, Field(description="A JPEG, PNG, WebP or BMP picture.")]


@router.post(
    "/predict",
    summary="Detect through what is deployed at Triton",
    response_model=PredictAnswer,
    responses=ERRORS,
)
async def predict(
    service: Running,
    form: Annotated[PredictForm, Form(media_type="multipart/form-data")],
    model: Annotated[
        str | None, Query(max_length=200, description="A deployed name; default: the server's.")
    ] = None,
) -> Response:
    """Send a picture as the multipart field `image`; the answer is the deployment's own JSON.

    `curl -F image=@street.jpg http://127.0.0.1:8000/predict`
    """
    received_s = time.monotonic()
    picture = await form.image.read()
    name = model or service.settings.triton_model or service.pool.default.spec.name
    with service.uploads.holding(received_s):
        answer = await service.triton.predictor.predict(name, picture)
    return Response(answer, media_type="application/json")

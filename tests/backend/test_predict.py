"""POST /predict: a real tritonserver answers, through a model of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sightline_engines.triton.server import TritonServer
from tests.backend.running import Backend, running
from tests.fakes import encoded, grey
from tests.triton.environment import TritonEnvironment

PICTURE = encoded(grey(200))
# Answers as it is told to in what is sent; its own name and how much came else.
MODEL = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        self.name = args["model_name"]
    def execute(self, requests):
        return [self.answer(one) for one in requests]
    def answer(self, request):
        given = pb_utils.get_input_tensor_by_name(request, "IMAGE_BYTES").as_numpy()
        data = bytes(given.flat[0])
        if data == b"fail":
            return pb_utils.InferenceResponse([], pb_utils.TritonError("no such luck"))
        told = json.dumps({"model": self.name, "bytes": len(data)}).encode()
        if data.startswith(b"{") or data.startswith(b"!"):
            told = data.lstrip(b"!")
        made = np.full(given.shape, told, np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_JSON", made)])
"""
CONFIG = """
backend: "python"
max_batch_size: %d
input [{name: "IMAGE_BYTES" data_type: TYPE_STRING dims: [1]}]
output [{name: "%s" data_type: TYPE_STRING dims: [1]}]
"""
MODELS = {"fake": (8, "OUTPUT_JSON"), "single": (0, "OUTPUT_JSON"), "other": (0, "SOMETHING")}


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("predict")
    for name, values in MODELS.items():
        (folder / "models" / name / "1").mkdir(parents=True)
        (folder / "models" / name / "config.pbtxt").write_text(CONFIG % values)
        (folder / "models" / name / "1" / "model.py").write_text(MODEL)
    options = triton_environment.options(folder / "models", load=tuple(MODELS))
    with TritonServer(options, folder / "log") as server:
        yield server


@asynccontextmanager
async def asking(
    triton: TritonServer, protocol: str = "grpc", **more: Any
) -> AsyncIterator[Backend]:
    settings = {
        "triton_grpc_url": triton.grpc_url,
        "triton_http_url": triton.http_url,
        "triton_metrics_url": triton.metrics_url,
        "triton_protocol": protocol,
        "triton_timeout_ms": 20_000,
        **more,
    }
    async with running(**settings) as backend:
        yield backend


async def predict(backend: Backend, picture: bytes, query: str = "") -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    response = await backend.http.post(f"/predict{query}", files={"image": picture})
    assert response.headers["content-type"] == "application/json"
    return response.status_code, response.json()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_picture_goes_to_the_deployed_model_and_its_answer_comes_back(
    triton: TritonServer, protocol: str
) -> None:
    async with asking(triton, protocol) as backend:
        assert await predict(backend, PICTURE) == (200, {"model": "fake", "bytes": len(PICTURE)})
        # Without a batch axis, by name.
        assert (await predict(backend, PICTURE, "?model=single"))[1]["model"] == "single"
        many = await asyncio.gather(*(predict(backend, PICTURE) for _ in range(40)))
    assert {status for status, _ in many} == {200}


async def test_the_model_is_the_one_that_is_set_before_the_one_that_serves(
    triton: TritonServer,
) -> None:
    async with asking(triton, triton_model="single") as backend:
        assert (await predict(backend, PICTURE))[1]["model"] == "single"
        assert (await predict(backend, PICTURE, "?model=fake"))[1]["model"] == "fake"


@pytest.mark.parametrize(
    ("sent", "query", "status", "code"),
    [
        (b"", "", 200, ""),
        (b'{"error": {"code": "corrupt_picture", "message": "m"}}', "", 422, "corrupt_picture"),
        (
            b'{"error": {"code": "unsupported_format", "message": "m"}}',
            "",
            415,
            "unsupported_format",
        ),
        (b'{"error": {"code": "too_large", "message": "m"}}', "", 413, "too_large"),
        (b"fail", "", 502, "triton_failed"),
        (b"!no json", "", 502, "triton_failed"),
        (b"![]", "", 502, "triton_failed"),
        (PICTURE, "?model=nobody", 404, "unknown_model"),
        (PICTURE, "?model=other", 404, "unknown_model"),
        (PICTURE, "?model=../other", 404, "unknown_model"),
    ],
)
async def test_what_goes_wrong_has_its_status(
    triton: TritonServer, sent: bytes, query: str, status: int, code: str
) -> None:
    async with asking(triton) as backend:
        found, body = await predict(backend, sent, query)
    assert (found, body.get("error", {}).get("code", "")) == (status, code)
    assert not code or body["error"]["message"]


async def test_uploads_have_their_limits_here_too(triton: TritonServer) -> None:
    async with asking(triton, max_upload_bytes=1024) as backend:
        assert (await predict(backend, bytes(1025)))[1]["error"]["code"] == "too_large"
        assert (await predict(backend, bytes(200_000)))[1]["error"]["code"] == "too_large"
        response = await backend.http.post("/predict", files={"file": PICTURE})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")
        assert (await predict(backend, bytes(1024)))[0] == 200


async def test_without_a_triton_it_says_what_to_set() -> None:
    async with running() as backend:
        status, body = await predict(backend, PICTURE)
    assert (status, body["error"]["code"]) == (409, "not_possible")
    assert "SIGHTLINE_TRITON_GRPC_URL" in body["error"]["message"]


async def test_a_triton_that_is_down_is_a_503_that_names_it() -> None:
    async with running(triton_grpc_url="127.0.0.1:9", triton_timeout_ms=1000) as backend:
        status, body = await predict(backend, PICTURE)
    assert (status, body["error"]["code"]) == (503, "engine_away")
    assert "127.0.0.1:9" in body["error"]["message"]

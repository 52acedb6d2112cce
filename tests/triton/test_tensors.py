"""Arrays and errors as they cross to Triton and back, without a server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.errors import EngineError, EngineMemoryError
from sightline_engines.triton.errors import (
    ModelBusyError,
    ModelGoneError,
    ModelUnwellError,
    TritonError,
    UnfitAnswerError,
    answered,
)
from sightline_engines.triton.tensors import answer_of, infer_request


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("", TritonError),
        ("CUDA failure 2: out of memory", EngineMemoryError),
        ("Exceeds maximum queue size", ModelBusyError),
        ("Request timeout expired", ModelBusyError),
        ("Server is stopping, scheduler for model has stopped", ModelUnwellError),
        ("Request for unknown model: 'a' has no available versions", ModelGoneError),
        ("onnx runtime error 2: not found", TritonError),
    ],
)
def test_errors_are_told_apart_by_what_triton_says(said: str, error: type[EngineError]) -> None:
    assert type(answered("there:8001", "400", said)) is error


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_any_strings_survive_the_way_there_and_back(values: list[bytes]) -> None:
    from tritonclient.grpc import service_pb2

    request = infer_request("m", {"TEXT": np.array([*values, b""], object)[:-1]}, (), "", None)
    response = service_pb2.ModelInferResponse(model_name="m")
    response.outputs.add(name="TEXT", datatype="BYTES", shape=request.inputs[0].shape)
    response.raw_output_contents.append(request.raw_input_contents[0])
    assert answer_of(response).arrays["TEXT"].tolist() == values


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", (1,), []),
        ("FP32", (2,), [b"1234"]),
        ("FP32", (1,), [b"123"]),
        ("BF16", (2,), [b"1234"]),
        ("BYTES", (1,), [b"\x09\0\0\0abc"]),
        ("BYTES", (2,), [b"\x01\0\0\0a"]),
    ],
)
def test_an_answer_that_is_malformed_is_an_error(
    datatype: str, shape: tuple[int, ...], raw: list[bytes]
) -> None:
    from tritonclient.grpc import service_pb2

    response = service_pb2.ModelInferResponse(model_name="m", raw_output_contents=raw)
    response.outputs.add(name="OUT", datatype=datatype, shape=shape)
    with pytest.raises(UnfitAnswerError, match="is no good"):
        answer_of(response)


def test_a_type_that_triton_lacks_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="complex64"):
        infer_request("m", {"IN": np.zeros(1, np.complex64)}, (), "", None)

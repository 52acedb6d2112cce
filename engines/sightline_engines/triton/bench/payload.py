"""What is sent: requests made once, before any time is taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import EngineError, ProviderError
from sightline_engines.triton.bench.options import BenchOptions
from sightline_engines.triton.bench.senders import Target
from sightline_engines.triton.client import Client
from sightline_engines.triton.facts import ModelMetadata, TensorFacts
from sightline_engines.triton.tensors import infer_request, numpy_type

_PICTURE_HW = 480, 640

_Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Payload:
    """Requests that are ready to go."""

    target: Target
    sends: str  # in words
    parts: tuple[str, ...]  # the model, and the models that an ensemble is made of


def prepare(client: Client, options: BenchOptions) -> Payload:
    """Make the requests for a model, and send each once to see that it is answered.

    Raises ProviderError where none can be made, EngineError where one fails.
    """
    metadata = client.metadata(options.model, options.version)
    config = client.config(options.model, options.version)
    batched = config.max_batch_size > 0
    if options.batch > max(1, config.max_batch_size):
        raise ProviderError(
            f"{options.model} takes {config.max_batch_size or 1} pictures a request, not "
            f"{options.batch}. Lower --batch, or raise max_batch_size in its config."
        )
    requests = _requests(metadata, options, batched)
    for inputs in requests:
        _try(client, options, inputs)
    encode = _grpc_body if options.protocol == "grpc" else _http_body
    bodies = [encode(options, inputs) for inputs in requests]
    parts = dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step)
    return Payload(
        Target(
            protocol=options.protocol,
            url=options.url.rpartition("://")[2].rstrip("/"),
            path=_path(options),
            bodies=tuple(body for body, _ in bodies),
            headers=bodies[0][1],
            timeout_s=options.timeout_s,
        ),
        sends=_words(requests, options),
        parts=(options.model, *parts),
    )


def _requests(metadata: ModelMetadata, options: BenchOptions, batched: bool) -> list[_Inputs]:
    unknown = set(options.shapes) - {tensor.name for tensor in metadata.inputs}
    if unknown:
        names = ", ".join(tensor.name for tensor in metadata.inputs)
        raise ProviderError(f"No input is called {', '.join(sorted(unknown))}; there is: {names}.")
    strings = any(tensor.datatype == "BYTES" for tensor in metadata.inputs)
    if options.pictures and not strings:
        raise ProviderError(f"{metadata.name} takes tensors, not pictures. Leave --picture out.")
    pictures = options.pictures or ((rendered(options.seed),) if strings else ())
    chance = np.random.default_rng(options.seed)
    return [
        {
            tensor.name: _array(tensor, options, batched, pictures[first:] + pictures, chance)
            for tensor in metadata.inputs
        }
        for first in range(len(pictures) or 1)
    ]


def _array(
    tensor: TensorFacts,
    options: BenchOptions,
    batched: bool,
    pictures: tuple[bytes, ...],
    chance: np.random.Generator,
) -> NDArray[Any]:
    own = tensor.shape[1:] if batched else tensor.shape
    # Any number of strings: one. Any size of anything else is for the user to say.
    asked = options.shapes.get(tensor.name, (1,) * len(own) if tensor.datatype == "BYTES" else own)
    if len(asked) != len(own) or any(
        size < 1 or o not in (-1, size) for size, o in zip(asked, own, strict=True)
    ):
        given = f" and not {list(asked)}" if tensor.name in options.shapes else ""
        raise ProviderError(
            f"{tensor.name} is of shape {list(own)} without the batch{given}. Give a size for each "
            f"-1, such as --shape {tensor.name}:{','.join(str(max(1, size)) for size in own)}."
        )
    shape = (options.batch, *asked) if batched else tuple(asked)
    if tensor.datatype == "BYTES":
        array = np.empty(int(np.prod(shape)), np.object_)
        array[:] = [pictures[i % len(pictures)] for i in range(len(array))]
        return array.reshape(shape)
    kind = numpy_type(tensor.datatype)
    if kind is None:
        raise ProviderError(
            f"{tensor.name} is of type {tensor.datatype}, which can't be made here."
        )
    if kind.kind == "f":
        return chance.random(shape, np.float32).astype(kind)
    # Whole numbers of more than a byte are mostly indexes and masks: every table has a second row.
    high = 2 if kind.kind == "b" or kind.itemsize > 1 else 128 if kind == np.int8 else 256
    return chance.integers(0, high, shape).astype(kind)


def rendered(seed: int) -> bytes:
    """Return a JPEG of soft blobs, whose size is about a photograph's."""
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    height, width = _PICTURE_HW
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    done, data = cv2.imencode(".jpg", picture)
    assert done  # noqa: S101  such a picture can always be encoded
    return bytes(data.tobytes())


def _try(client: Client, options: BenchOptions, inputs: _Inputs) -> None:
    """Run a request; an answer in JSON that tells of an error is none that may be counted."""
    answer = client.infer(
        options.model, inputs, version=options.version, timeout_s=options.timeout_s
    )
    for array in answer.arrays.values():
        for item in array.ravel() if array.dtype == np.object_ else ():
            try:
                said = json.loads(item)
            except (ValueError, UnicodeDecodeError):
                continue
            if isinstance(said, dict) and said.get("error"):
                raise EngineError(f"{options.model} answers with an error: {said['error']}.")


def _words(requests: list[_Inputs], options: BenchOptions) -> str:
    told = []
    for name, array in requests[0].items():
        if array.dtype == np.object_:
            kind = f"{len(requests)} pictures" if options.pictures else "a rendered JPEG"
        else:
            kind = f"random {array.dtype}"
        told.append(f"{name} {list(array.shape)} of {kind}")
    return ", ".join(told)


def _path(options: BenchOptions) -> str:
    version = f"/versions/{options.version}" if options.version else ""
    return f"/v2/models/{options.model}{version}/infer"


def _grpc_body(options: BenchOptions, inputs: _Inputs) -> tuple[bytes, dict[str, str]]:
    request = infer_request(options.model, inputs, (), options.version, None)
    return request.SerializeToString(), {}


def _http_body(options: BenchOptions, inputs: _Inputs) -> tuple[bytes, dict[str, str]]:
    """Return the body in Triton's binary extension: JSON, then the tensors' bytes."""
    request = infer_request(options.model, inputs, (), options.version, None)
    head = {
        "inputs": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "datatype": tensor.datatype,
                "parameters": {"binary_data_size": len(raw)},
            }
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        ],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(head).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }
    return text + b"".join(request.raw_input_contents), headers

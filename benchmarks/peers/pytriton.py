# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
"""PyTriton: a real Triton server in front of a Python function, pictures as a raw body.

default: a bound function with `ModelConfig()`; Triton batches up to four that wait anyway.
limit: besides, a request that waited too long to be in time is refused (a queue policy).
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/batcher.html
batch: besides, a batch may be held back 1 ms for more (`max_queue_delay_microseconds`).
https://triton-inference-server.github.io/pytriton/latest/reference/model_config
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, QueuePolicy, Tensor, TimeoutAction
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.options import Options, read_options
from benchmarks.peers.yolo import Detector


def bound(detector: Detector) -> Any:
    """Return the function that Triton calls with a batch of JPEGs."""

    @batch
    def infer(jpeg: NDArray[np.object_]) -> dict[str, NDArray[np.bytes_]]:
        answers = detector.answer([row[0] for row in jpeg])
        encoded = [[json.dumps(answer).encode()] for answer in answers]
        return {"answer": np.array(encoded, np.bytes_)}

    return infer


def model_config(options: Options) -> ModelConfig:
    """Return the settings that are measured."""
    if options.setting == "default":
        return ModelConfig()
    policy = QueuePolicy(
        timeout_action=TimeoutAction.REJECT,
        default_timeout_microseconds=round(options.wait_ms * 1e3),
    )
    delay_us = 1000 if options.setting == "batch" else 0
    batcher = DynamicBatcher(max_queue_delay_microseconds=delay_us, default_queue_policy=policy)
    return ModelConfig(max_batch_size=4 if options.setting == "batch" else 1, batcher=batcher)


def main() -> None:
    """Serve until ended."""
    options = read_options()
    config = TritonConfig(
        http_port=options.port,
        grpc_port=options.port + 1,
        metrics_port=options.port + 2,
        http_address="127.0.0.1",
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="detect",
            infer_func=bound(Detector(options.model)),
            inputs=[Tensor(name="jpeg", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="answer", dtype=bytes, shape=(1,))],
            config=model_config(options),
        )
        triton.serve()


if __name__ == "__main__":
    main()

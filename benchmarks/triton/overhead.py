"""Our engine beside the shortest loop that tritonclient allows, on the same model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import numpy as np

from sightline_engines.triton.engine import load_triton
from tests.triton.at_triton import AtTriton

Call: TypeAlias = Callable[[], object]
BARE = "tritonclient, gRPC"


def measured(triton: AtTriton, rounds: int, calls: int) -> list[str]:
    """Return the table; sides take turns call by call, in an order that changes."""
    with sides(triton) as found:
        wall: dict[str, list[float]] = {name: [] for name in found}
        cpu: dict[str, list[float]] = {name: [] for name in found}
        for turn in range(rounds + 1):
            for name, (ms, cpu_ms) in _round(found, calls).items():
                if turn:  # the first round warms up
                    wall[name].append(ms)
                    cpu[name].append(cpu_ms)
    lines = [
        "## Overhead of the engine over a bare loop, batch 1, one call at a time",
        "",
        "| side | median call, ms | ratio of medians (lowest to highest round) | client CPU, ms |",
        "| --- | --- | --- | --- |",
    ]
    for name, times in wall.items():
        ratios = [ours / bare for ours, bare in zip(times, wall[BARE], strict=True)]
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        lines.append(
            f"| {name} | {statistics.median(times):.2f} | {spread} "
            f"| {statistics.median(cpu[name]):.2f} |"
        )
    return [*lines, ""]


@contextmanager
def sides(triton: AtTriton) -> Iterator[dict[str, Call]]:
    """Give a call of each side, on the same tensor and the same model."""
    from tritonclient import grpc

    width, height = triton.spec.input_size_wh
    tensor = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    model = triton.deployment.detector
    metadata = triton.client.metadata(model)
    with ExitStack() as stack:
        client = grpc.InferenceServerClient(triton.server.grpc_url)
        stack.callback(client.close)

        def bare() -> Any:
            given = grpc.InferInput(metadata.inputs[0].name, tensor.shape, "UINT8")
            given.set_data_from_numpy(tensor)
            return client.infer(model, [given]).as_numpy(metadata.outputs[0].name)

        found: dict[str, Call] = {BARE: bare}
        for name, more in (
            ("Sightline, gRPC", {}),
            ("Sightline, HTTP", {"protocol": "http"}),
            ("Sightline, shared memory", {"transport": "system_shm"}),
        ):
            engine = load_triton(triton.spec, triton.options(**more))
            stack.callback(engine.close)
            found[name] = lambda engine=engine: engine.infer(tensor)  # type: ignore[misc]
        yield found


def _round(found: dict[str, Call], calls: int) -> dict[str, tuple[float, float]]:
    """Return each side's median call and its median CPU time in this process, in ms."""
    times: dict[str, list[float]] = {name: [] for name in found}
    used: dict[str, list[float]] = {name: [] for name in found}
    order = list(found)
    for _ in range(calls):
        order.append(order.pop(0))
        for name in order:
            busy, begun = time.process_time(), time.perf_counter()
            found[name]()
            times[name].append(time.perf_counter() - begun)
            used[name].append(time.process_time() - busy)
    return {
        name: (statistics.median(times[name]) * 1e3, statistics.median(used[name]) * 1e3)
        for name in found
    }

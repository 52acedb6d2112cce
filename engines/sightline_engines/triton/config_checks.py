"""What is wrong with a TritonConfig, in words that say what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline_engines.triton.config import TritonConfig

MOST_INSTANCES = 64
MOST_GPUS = 64
MOST_BATCH = 1024
MOST_VERSIONS = 1000
MOST_DELAY_US = 10_000_000
MOST_TIMEOUT_US = 3_600_000_000
MOST_QUEUED = 1_000_000
MOST_LEVELS = 100
MOST_WORKSPACE = 2**40
_PLATFORMS = ("onnxruntime", "tensorrt_plan")
_PRECISIONS = {
    "": ("fp32",),
    "tensorrt": ("fp32", "fp16", "int8"),
    "openvino": ("fp32",),
}
_NUMBERS = (
    ("instance_count", 1, MOST_INSTANCES),
    ("max_queue_delay_us", 0, MOST_DELAY_US),
    ("accelerator_workspace_bytes", 2**20, MOST_WORKSPACE),
    ("priority_levels", 0, MOST_LEVELS),
    ("step_instances", 1, MOST_INSTANCES),
)
_OPTIONAL = (("max_queue_size", 1, MOST_QUEUED), ("queue_timeout_us", 1, MOST_TIMEOUT_US))
_SWITCHES = ("warmup", "response_cache", "dynamic_batching")


def problem(config: TritonConfig) -> str | None:
    """Return what to tell who wrote a config, None where nothing is wrong."""
    return next(_wrong_values(config), None) or next(_clashes(config), None)


def _wrong_values(config: TritonConfig) -> Iterator[str]:
    if config.platform not in _PLATFORMS:
        yield f"platform must be one of {', '.join(_PLATFORMS)}, not {config.platform!r}"
    for name, low, high in _NUMBERS:
        if not _whole(getattr(config, name), low, high):
            yield _said(config, name, f"a whole number from {low} to {high}")
    for name, low, high in _OPTIONAL:
        value = getattr(config, name)
        if value is not None and not _whole(value, low, high):
            yield _said(config, name, f"a whole number from {low} to {high}, or none")
    for name in _SWITCHES:
        if not isinstance(getattr(config, name), bool):
            yield _said(config, name, "true or false")
    sizes = config.preferred_batch_sizes
    if not _rising(sizes, 1, MOST_BATCH):
        yield _said(config, "preferred_batch_sizes", f"rising numbers from 1 to {MOST_BATCH}")
    gpus = config.gpus
    if gpus is not None and not _rising(gpus, 0, MOST_GPUS - 1):
        yield _said(config, "gpus", "the rising numbers of GPUs, none of them for the CPU")
    versions = config.versions
    named = isinstance(versions, tuple) and versions and _rising(versions, 1, 2**31)
    if versions != "all" and not _whole(versions, 1, MOST_VERSIONS) and not named:
        yield _said(config, "versions", "a number of the newest, rising version numbers, or all")
    if not isinstance(config.accelerator, str) or config.accelerator not in _PRECISIONS:
        known = "tensorrt, openvino or empty"
        yield _said(config, "accelerator", known)
    elif config.accelerator_precision not in _PRECISIONS[config.accelerator]:
        fits = " or ".join(_PRECISIONS[config.accelerator])
        of = f"with accelerator '{config.accelerator}'" if config.accelerator else "without one"
        yield _said(config, "accelerator_precision", f"{fits} {of}")


def _clashes(config: TritonConfig) -> Iterator[str]:
    plan, accelerator = config.platform == "tensorrt_plan", config.accelerator
    if plan and accelerator:
        yield (
            f"accelerator '{accelerator}' works inside ONNX Runtime; a TensorRT plan needs none: "
            "leave it empty"
        )
    if plan and config.gpus == ():
        yield "a TensorRT plan needs a GPU: name gpus, or leave them to Triton"
    if accelerator == "tensorrt" and config.gpus == ():
        yield "accelerator 'tensorrt' needs a GPU: name gpus, or leave them to Triton"
    if accelerator == "openvino" and config.gpus:
        yield "accelerator 'openvino' runs on the CPU: leave gpus empty"
    if config.dynamic_batching:
        return
    for name in ("preferred_batch_sizes", "max_queue_delay_us", "priority_levels"):
        if getattr(config, name):
            yield f"{name} belongs to dynamic batching: switch dynamic_batching on or leave it out"
    for name in ("max_queue_size", "queue_timeout_us"):
        if getattr(config, name) is not None:
            yield f"{name} belongs to dynamic batching: switch dynamic_batching on or leave it out"


def _said(config: TritonConfig, name: str, wanted: str) -> str:
    found = repr(getattr(config, name))
    return f"{name} must be {wanted}, not {found if len(found) < 80 else found[:80] + '…'}"


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _rising(values: object, low: int, high: int) -> bool:
    if not isinstance(values, tuple) or not all(_whole(value, low, high) for value in values):
        return False
    return all(a < b for a, b in pairwise(values))

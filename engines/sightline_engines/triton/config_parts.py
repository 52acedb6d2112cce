"""The sections of a config: versions, instances, batching, acceleration, warm-up."""

from __future__ import annotations

from typing import Any

from sightline_engines.triton.config import TritonConfig, messages
from sightline_engines.triton.config_checks import MOST_TIMEOUT_US

# Building an engine takes minutes, which each load would wait for anew. Any server can write here;
# in our images nobody else can (docs/triton.md, Trust).
_CACHE = "/tmp/sightline-tensorrt"  # noqa: S108


def choose_versions(message: Any, config: TritonConfig) -> None:
    """Say which versions of the model are served."""
    policy, versions = message.version_policy, config.versions
    if versions == "all":
        policy.all.SetInParent()
    elif isinstance(versions, tuple):
        policy.specific.versions.extend(versions)
    else:
        policy.latest.num_versions = int(versions)


def place_instances(message: Any, config: TritonConfig) -> None:
    """Say how many of it run, and where."""
    kinds = messages().ModelInstanceGroup
    gpu_only = config.platform == "tensorrt_plan" or config.accelerator == "tensorrt"
    cpu_only = config.gpus == () or config.accelerator == "openvino"
    kind = kinds.KIND_AUTO
    if cpu_only:
        kind = kinds.KIND_CPU
    elif config.gpus or gpu_only:
        kind = kinds.KIND_GPU
    message.instance_group.add(kind=kind, count=config.instance_count, gpus=config.gpus or ())


def batch_dynamically(message: Any, config: TritonConfig) -> None:
    """Let Triton make batches of what waits, and bound what may wait; raises ValueError."""
    if not config.dynamic_batching:
        return
    batching, most = message.dynamic_batching, message.max_batch_size
    batching.SetInParent()
    too_large = [size for size in config.preferred_batch_sizes if size > max(most, 1)]
    if too_large:
        raise ValueError(
            f"preferred_batch_sizes has {too_large[0]}, but {message.name} takes batches of "
            f"{max(most, 1)} at most: lower it, or raise the largest batch."
        )
    if most > 0:
        batching.preferred_batch_size.extend(config.preferred_batch_sizes)
    batching.max_queue_delay_microseconds = config.max_queue_delay_us
    limit_queue(message, config)
    prioritise(message, config)


def prioritise(message: Any, config: TritonConfig) -> None:
    """Have urgent requests go first; every model that a request waits at needs it."""
    if config.priority_levels:
        message.dynamic_batching.priority_levels = config.priority_levels
        message.dynamic_batching.default_priority_level = (config.priority_levels + 1) // 2


def limit_queue(message: Any, config: TritonConfig, usual: int | None = None) -> None:
    """Refuse what would wait too long or in too long a line, of `usual` length if none is set."""
    most = config.max_queue_size or usual
    if most is None and config.queue_timeout_us is None:
        return
    policy = message.dynamic_batching.default_queue_policy
    policy.timeout_action = messages().ModelQueuePolicy.REJECT
    policy.allow_timeout_override = True  # a client may ask for less
    # Never 0: then a request's own timeout would be ignored, too.
    policy.default_timeout_microseconds = config.queue_timeout_us or MOST_TIMEOUT_US
    policy.max_queue_size = most or 0


def accelerate(message: Any, config: TritonConfig) -> None:
    """Have ONNX Runtime hand the network to TensorRT or OpenVINO."""
    accelerators = message.optimization.execution_accelerators
    if config.accelerator == "tensorrt":
        one = accelerators.gpu_execution_accelerator.add(name="tensorrt")
        one.parameters["precision_mode"] = config.accelerator_precision.upper()
        one.parameters["max_workspace_size_bytes"] = str(config.accelerator_workspace_bytes)
        for kind in ("engine", "timing"):
            one.parameters[f"trt_{kind}_cache_enable"] = "1"
            one.parameters[f"trt_{kind}_cache_path"] = _CACHE
    elif config.accelerator == "openvino":
        accelerators.cpu_execution_accelerator.add(name="openvino")


def warm_up(message: Any) -> None:
    """Run the smallest and the largest batch before the model counts as ready."""
    most = message.max_batch_size
    for batch in sorted({1, max(most, 1)}):  # 1 where dims hold the batch: 0 would be skipped
        warmup = message.model_warmup.add(name=f"batch-{batch}", batch_size=batch, count=1)
        for port in message.input:
            one = warmup.inputs[port.name]
            one.data_type = port.data_type
            one.dims.extend(1 if side < 0 else side for side in port.dims)
            one.zero_data = True

"""Configs of what stands around a network: its Python steps, and the ensembles over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightline_engines.triton.config import ConfigTensor, TritonConfig, described, messages
from sightline_engines.triton.config_parts import limit_queue, prioritise
from sightline_engines.triton.steps.names import FACTS, IMAGE_BYTES, OUTPUT_JSON, PROBLEM

PICTURE = ConfigTensor(IMAGE_BYTES, "BYTES", (1,))
ANSWER = ConfigTensor(OUTPUT_JSON, "BYTES", (1,))
BESIDE = (ConfigTensor(FACTS, "FP64", (8,)), ConfigTensor(PROBLEM, "BYTES", (1,)))
_QUEUED = 256  # requests that wait at the first step where no number is set: bounds its memory
WARMUP_FILE = "picture"  # in the folder `warmup` of the first step


@dataclass(frozen=True, slots=True)
class EnsembleStep:
    """A model of an ensemble; its tensors keep their names throughout."""

    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ports:
    """What goes into a model and what comes out of it."""

    inputs: tuple[ConfigTensor, ...]
    outputs: tuple[ConfigTensor, ...]
    max_batch: int  # 0: dims hold the batch


def step_config(
    name: str, ports: Ports, config: TritonConfig, parameters: Mapping[str, str]
) -> Any:
    """Return the config of a Python step; it takes what waits as one batch, at once."""
    message = described(name, ports.inputs, ports.outputs, ports.max_batch, parameters)
    message.backend = "python"
    message.version_policy.latest.num_versions = 1
    message.instance_group.add(
        kind=messages().ModelInstanceGroup.KIND_CPU, count=config.step_instances
    )
    message.dynamic_batching.SetInParent()
    prioritise(message, config)
    return message


def first_step_config(
    name: str, ports: Ports, config: TritonConfig, parameters: Mapping[str, str]
) -> Any:
    """Return the config of the step that takes pictures: what is refused is refused here."""
    message = step_config(name, ports, config, parameters)
    limit_queue(message, config, _QUEUED)
    if config.warmup:
        warmup = message.model_warmup.add(name="a-picture", batch_size=1, count=1)
        one = warmup.inputs[IMAGE_BYTES]
        one.data_type, one.input_data_file = message.input[0].data_type, WARMUP_FILE
        one.dims.append(1)
    return message


def ensemble_config(
    name: str,
    ports: Ports,
    steps: Sequence[EnsembleStep],
    parameters: Mapping[str, str],
    *,
    version: int,
) -> Any:
    """Return the config of an ensemble that serves one version and no other."""
    message = described(name, ports.inputs, ports.outputs, ports.max_batch, parameters)
    message.platform = "ensemble"
    message.version_policy.specific.versions.append(version)
    for step in steps:
        made = message.ensemble_scheduling.step.add(model_name=step.model, model_version=1)
        for tensor in step.inputs:
            made.input_map[tensor] = tensor
        for tensor in step.outputs:
            made.output_map[tensor] = tensor
    return message

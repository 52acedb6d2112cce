"""The file that a deployment is made of: whether Triton can take it, and as what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from sightline_engines.errors import DeployError, ModelFileError
from sightline_engines.triton.classifier import ClassifierSpec, classifier_network
from sightline_engines.triton.config import Platform, TritonConfig
from sightline_engines.triton.network import Network, detector_network, file_digest
from sightline_engines.triton.steps.names import RESERVED
from sightline_engines.types import Format, ModelSpec

Source: TypeAlias = ModelSpec | ClassifierSpec


def network_of(
    source: Source, config: TritonConfig, max_batch: int, built_from: Path | None
) -> tuple[Network, TritonConfig]:
    """Return what Triton runs of a source, and the config with its platform.

    Raises DeployError where Triton can't take it.
    """
    config = replace(config, platform=_platform(source, config))
    try:
        if isinstance(source, ModelSpec):
            network = detector_network(source, config, max_batch, built_from)
        else:
            network = classifier_network(source, config, max_batch)
    except (ModelFileError, ValueError) as error:
        raise DeployError(str(error)) from error
    taken = {network.input.name, *RESERVED}
    if network.output.name in taken or network.input.name in RESERVED:
        raise DeployError(
            f"{source.path.name} calls its output '{network.output.name}', a name that the steps "
            "around it need. Rename the output and add the model again."
        )
    return network, config


def seen_digest(source: Source) -> str:
    """Return the SHA-256 that a source's file has now, nothing where it can't be read."""
    try:
        return file_digest(source.path)
    except DeployError:
        return ""


def checked_digest(source: Source, before: str) -> str:
    """Return a source's SHA-256; raises DeployError if it isn't `before`, nor what was added."""
    digest = file_digest(source.path)
    if source.sha256 and digest != source.sha256:
        raise DeployError(
            f"{source.path.name} isn't the file that it was when it was added (its SHA-256 "
            "differs). Add the model again."
        )
    if digest != before:
        raise _changed(source)
    return digest


def check_copy(source: Source, digest: str, copy: Path) -> None:
    """Raise DeployError where the very bytes that are deployed aren't those of the digest.

    Only a plan is deployed as it is; an ONNX file was read between two looks at it.
    """
    if source.format is Format.TENSORRT and file_digest(copy) != digest:
        raise _changed(source)


def _changed(source: Source) -> DeployError:
    return DeployError(
        f"{source.path.name} was changed while it was deployed. Try again when it is whole."
    )


def _platform(source: Source, config: TritonConfig) -> Platform:
    """Return what a file runs on; raises DeployError for files that Triton can't take."""
    name = source.path.name
    match source.format:
        case Format.TENSORRT:
            return "tensorrt_plan"
        case Format.ONNX if config.platform == "onnxruntime":
            return "onnxruntime"
        case Format.ONNX:
            raise DeployError(
                f"{name} is ONNX, and platform tensorrt_plan takes a TensorRT plan. Convert it "
                "first, or deploy it on onnxruntime with accelerator 'tensorrt'."
            )
    raise DeployError(
        f"{name} is {source.format.value}, which isn't deployed at Triton. Deploy the model's ONNX "
        "file or TensorRT plan; for OpenVINO deploy the ONNX file with accelerator 'openvino'."
    )

"""The folders of a deployment: what each model of it holds in the repository."""

from __future__ import annotations

import json
import struct
from typing import Any

from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.config import config_text, model_config
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.ensemble import (
    ANSWER,
    BESIDE,
    PICTURE,
    WARMUP_FILE,
    EnsembleStep,
    Ports,
    ensemble_config,
    first_step_config,
    step_config,
)
from sightline_engines.triton.network import Network
from sightline_engines.triton.read_config import tensors_of
from sightline_engines.triton.repository import Contents
from sightline_engines.triton.steps.names import IMAGE_BYTES, OUTPUT_JSON
from sightline_engines.triton.vendor import vendored
from sightline_engines.types import ModelSpec

DEPLOYMENT_FILE = "deployment.json"
CONFIG_FILE = "config.pbtxt"
_THREADS = 4  # that decode at once in each first step: bounds its memory, too
# Of a picture: nobody's decodes for more than about half a second, while its batch waits.
_LIMITS = {"max_bytes": 20 * 2**20, "max_pixels": 25_000_000, "max_slow_pixels": 8_400_000}
_MAX_SCAN_PIXELS = 300_000_000  # of a JPEG's scans together; at 25 megapixels it may have twelve
_WARMUP_WH = (640, 480)


def parts(
    deployment: Deployment, source: ModelSpec | ClassifierSpec, network: Network
) -> dict[str, Contents]:
    """Return each numbered model's files; the network, which makes it a deployment, comes last.

    Raises ValueError where the deployment's config doesn't fit the network.
    """
    config, most = deployment.config, deployment.max_batch
    first = first_step_config(
        deployment.preprocess,
        Ports((PICTURE,), (network.input, *BESIDE), most),
        config,
        _parameters(deployment, "preprocess"),
    )
    last = step_config(
        deployment.postprocess,
        Ports((network.output, *BESIDE), (ANSWER,), most),
        config,
        _parameters(deployment, "postprocess"),
    )
    made: dict[str, Contents] = {
        deployment.preprocess: _step_files(first, _pictures_spec(source, network)),
        deployment.postprocess: _step_files(last, _answers_spec(deployment, source, network)),
        deployment.detector: {
            CONFIG_FILE: config_text(_network_config(deployment, network)),
            f"1/{config.model_file}": network.content,
            DEPLOYMENT_FILE: json.dumps(deployment.to_dict(), indent=2) + "\n",
        },
    }
    if config.warmup:
        picture = {f"warmup/{WARMUP_FILE}": _warmup_picture()}
        made[deployment.preprocess] = {**made[deployment.preprocess], **picture}
    if network.output.labels_file:
        names = {network.output.labels_file: _label_lines(source.labels)}
        made[deployment.detector] = {**made[deployment.detector], **names}
    return made


def stable_configs(deployment: Deployment, network_config: Any) -> dict[str, str]:
    """Return the config texts of both stable names, by name, in the order of the switch."""
    (given,), (answered,) = tensors_of(network_config.input), tensors_of(network_config.output)
    beside = tuple(port.name for port in BESIDE)
    tensors = EnsembleStep(deployment.detector, (given.name,), (answered.name,))
    pictures = (
        EnsembleStep(deployment.preprocess, (IMAGE_BYTES,), (given.name, *beside)),
        tensors,
        EnsembleStep(deployment.postprocess, (answered.name, *beside), (OUTPUT_JSON,)),
    )
    of_tensors = ensemble_config(
        deployment.tensors,
        Ports((given,), (answered,), network_config.max_batch_size),
        (tensors,),
        _parameters(deployment, "tensors"),
        version=deployment.number,
    )
    of_pictures = ensemble_config(
        deployment.pictures,
        Ports((PICTURE,), (ANSWER,), deployment.max_batch),
        pictures,
        _parameters(deployment, "pictures"),
        version=deployment.number,
    )
    return {
        deployment.tensors: config_text(of_tensors),
        deployment.pictures: config_text(of_pictures),
    }


def _network_config(deployment: Deployment, network: Network) -> Any:
    given, answered, most = network.ports
    message = model_config(
        deployment.detector,
        (given,),
        (answered,),
        deployment.config,
        most,
        parameters=_parameters(deployment, deployment.kind),
    )
    message.instance_group[0].profile.extend(network.profiles)
    return message


def _parameters(deployment: Deployment, part: str) -> dict[str, str]:
    return {
        "sightline_model": deployment.model,
        "sightline_number": str(deployment.number),
        "sightline_part": part,
        "sightline_sha256": deployment.sha256,
    }


def _step_files(config: Any, spec: dict[str, Any]) -> Contents:
    files = {f"1/{path}": text for path, text in vendored().items()}
    said = json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    return {**files, CONFIG_FILE: config_text(config), "1/spec.json": said}


def _pictures_spec(source: ModelSpec | ClassifierSpec, network: Network) -> dict[str, Any]:
    if isinstance(source, ModelSpec):
        fit, pad = str(source.preprocess.letterbox), source.preprocess.pad
    else:
        fit, pad = source.resize, 0
    return {
        "step": "pictures",
        "tensor": network.input.name,
        "input_size_wh": list(source.input_size_wh),
        "fit": fit,
        "pad": pad,
        "limits": _LIMITS,
        "max_scan_pixels": _MAX_SCAN_PIXELS,
        "threads": _THREADS,
    }


def _answers_spec(
    deployment: Deployment, source: ModelSpec | ClassifierSpec, network: Network
) -> dict[str, Any]:
    common = {
        "model": deployment.model,
        "deployment": deployment.number,
        "sha256": deployment.sha256,
        "tensor": network.output.name,
        "labels": list(source.labels),
    }
    if isinstance(source, ClassifierSpec):
        return common | {"step": "classes", "top_k": source.top_k, "softmax": source.softmax}
    thresholds = source.postprocess
    return common | {
        "step": "boxes",
        "family": source.family.value,
        "input_size_wh": list(source.input_size_wh),
        "postprocess": {
            "conf": thresholds.conf,
            "iou": thresholds.iou,
            "max_detections": thresholds.max_detections,
        },
    }


def _label_lines(labels: tuple[str, ...]) -> str:
    """Return labels as Triton's own classification reads them: one a line."""
    return "".join(" ".join(label.split()) + "\n" for label in labels)


def _warmup_picture() -> bytes:
    """Return a picture as Triton reads texts from files: four bytes of length, then the bytes."""
    import numpy as np

    from sightline_engines.picture import encode_jpeg

    width, height = _WARMUP_WH
    data = encode_jpeg(np.full((height, width, 3), 114, np.uint8))
    return struct.pack("<I", len(data)) + data

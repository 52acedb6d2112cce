# mypy: disable-error-code="import-not-found, misc"
"""Roboflow's `inference` server on a local model package, pictures as multipart uploads.

default: the app that its CPU container runs, on one uvicorn worker, with a model package from
the disk in place of one that an API key fetches.
https://github.com/roboflow/inference/blob/main/inference_models/docs/how-to/local-packages.md
Its documentation names no other setting for one model on one processor core: batching is for
Workflows and video pipelines, and more workers (`NUM_WORKERS`) need more cores.
https://docs.roboflow.com/deployment/self-hosted/inference-server/configuration/docker-configuration
"""

from __future__ import annotations

import ast
import json
import os
import tempfile
from pathlib import Path

import onnxruntime
import uvicorn

from benchmarks.peers.onethread import use_one_thread
from benchmarks.peers.options import Options, read_options

ENVIRONMENT = {
    "OFFLINE_MODE": "True",  # no metrics, no telemetry, no weights from elsewhere
    "ALLOW_INFERENCE_MODELS_DIRECTLY_ACCESS_LOCAL_PACKAGES": "True",
    "ONNXRUNTIME_EXECUTION_PROVIDERS": "[CPUExecutionProvider]",
    "ENABLE_STREAM_API": "False",
}


def write_package(folder: Path, model: Path) -> None:
    """Lay a model package around the ONNX file, which stays as it is."""
    folder.mkdir(parents=True)
    (folder / "weights.onnx").symlink_to(model.resolve())
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[2:]
    names = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
    (folder / "class_names.txt").write_text("\n".join(names.values()))
    about = {
        "model_architecture": "yolov8",
        "task_type": "object-detection",
        "backend_type": "onnx",
    }
    (folder / "model_config.json").write_text(json.dumps(about))
    picture = {
        "training_input_size": {"height": height, "width": width},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "letterbox",
        "padding_value": 114,
        "input_channels": 3,
        "scaling_factor": 255,
    }
    steps = {
        "network_input": picture,
        "forward_pass": {"static_batch_size": 1},
        "post_processing": {"type": "nms", "fused": False},
    }
    (folder / "inference_config.json").write_text(json.dumps(steps))


def serve(options: Options) -> None:
    """Build the server's app and serve until ended."""
    use_one_thread()
    from inference.core.interfaces.http.http_api import HttpInterface
    from inference.core.managers.base import ModelManager
    from inference.core.registries.roboflow import RoboflowModelRegistry
    from inference.models.utils import ROBOFLOW_MODEL_TYPES

    app = HttpInterface(ModelManager(RoboflowModelRegistry(ROBOFLOW_MODEL_TYPES))).app
    uvicorn.run(app, host="127.0.0.1", port=options.port, access_log=False)


def main() -> None:
    """Serve until ended; the package is `peer/1` in the working folder, as is the address."""
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="roboflow-") as name:
        write_package(Path(name, "peer", "1"), options.model)
        cache = {"MODEL_CACHE_DIR": f"{name}/cache", "INFERENCE_HOME": f"{name}/home"}
        os.environ.update(ENVIRONMENT | cache)  # noqa: TID251  it is told by nothing else
        for pages in ("static", "_next/static"):  # which its container has beside the app
            Path(name, "inference/landing/out", pages).mkdir(parents=True)
        os.chdir(name)
        serve(options)


if __name__ == "__main__":
    main()

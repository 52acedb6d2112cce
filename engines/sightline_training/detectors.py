"""Detectors: files that are run on a picture, to teach or to be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sightline_engines.runtimes import import_onnxruntime, import_openvino
from sightline_training.boxes import Array, decode, suppress
from sightline_training.letterbox import letterbox, to_tensor
from sightline_training.samples import Picture

# A picture to rows of x1, y1, x2, y2 (source pixels), class, score; nothing suppressed yet.
Detector = Callable[[Picture], Array]

FLOOR = 0.001
THREADS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A loaded file: its input's size and what runs it.

    What it gives may be overwritten by its next call.
    """

    size_wh: tuple[int, int]
    run: Callable[[Array], list[Array]]


Loader = Callable[[Path], Network]


def through_onnxruntime(path: Path) -> Network:
    """Load a file into ONNX Runtime on the CPU."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = THREADS
    # threads that spin while they wait take the cores from everything else measured here
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, (height, width) = session.get_inputs()[0].name, session.get_inputs()[0].shape[2:]
    return Network((int(width), int(height)), lambda tensor: session.run(None, {name: tensor}))


def through_openvino(path: Path) -> Network:
    """Load a file into OpenVINO on the CPU, at its default precision."""
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    compiled = import_openvino().Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()
    height, width = (side.get_length() for side in list(compiled.input(0).partial_shape)[2:])

    def run(tensor: Array) -> list[Array]:
        request.infer([tensor])
        return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]

    return Network((width, height), run)


def yolox(path: Path, labels: Mapping[int, int], load: Loader = through_onnxruntime) -> Detector:
    """Run a YOLOX file with a raw grid; `labels` maps its classes to ours."""
    network = load(path)
    width, height = network.size_wh

    def find(bgr: Picture) -> Array:
        canvas, scale = letterbox(bgr, width, height)
        raw = network.run(to_tensor(canvas))[0][0]
        xyxy = decode(raw, width) / scale
        parts = []
        for theirs, ours in labels.items():
            score = raw[:, 4] * raw[:, 5 + theirs]
            rows = np.column_stack((xyxy, np.full_like(score, ours), score))
            parts.append(rows[score > FLOOR])
        return np.asarray(np.concatenate(parts), np.float32)

    return find


def rfb(path: Path, load: Loader = through_onnxruntime) -> Detector:
    """Run version-RFB-320 on faces: RGB, (x - 127) / 128, stretched to 320x240."""
    network = load(path)

    def find(bgr: Picture) -> Array:
        rgb = cv2.cvtColor(cv2.resize(bgr, network.size_wh), cv2.COLOR_BGR2RGB)
        tensor = (to_tensor(np.asarray(rgb, np.uint8)) - 127.0) / 128.0
        scores, boxes = network.run(tensor)
        score = scores[0, :, 1]
        xyxy = boxes[0] * np.asarray([bgr.shape[1], bgr.shape[0]] * 2, np.float32)
        rows = np.column_stack((xyxy, np.ones_like(score), score))
        return np.asarray(rows[score > FLOOR], np.float32)

    return find


def settle(rows: Array, overlap: float, floor: float = FLOOR, most: int = 300) -> Array:
    """Drop weak rows and suppress overlaps class by class; best first, at most `most`."""
    rows = rows[rows[:, 5] > floor]
    shifted = rows[:, :4] + rows[:, 4:5] * 1e5  # classes never meet
    kept: Array = rows[suppress(shifted.astype(np.float64), rows[:, 5], overlap, most)]
    return kept

# Its types depend on whether it is installed.
# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
# mypy: disable-error-code="attr-defined, index, union-attr"
"""Ultralytics' own predictor on the same ONNX file, in plain FastAPI.

default: what most tutorials show, `model(picture)` inside the endpoint.
best: off the event loop, in one thread with a model of its own, since a model must not be
shared between threads and there is one core.
https://docs.ultralytics.com/guides/yolo-thread-safe-inference/
Neither Ultralytics nor FastAPI offers batching across requests or a limit on waiting.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from ultralytics import YOLO

from benchmarks.peers.onethread import use_one_thread
from benchmarks.peers.options import read_options


def load() -> YOLO:
    """Load the model and run it once."""
    model = YOLO(str(read_options().model), task="detect")
    model(np.zeros((640, 640, 3), np.uint8), verbose=False)
    return model


def detect(model: YOLO, jpeg: bytes) -> dict[str, Any]:
    """Return a JPEG's boxes, thresholds as the other peers have them."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    found = model(picture, conf=0.25, iou=0.45, device="cpu", verbose=False)[0].boxes
    rows = zip(found.xyxy.tolist(), found.conf.tolist(), found.cls.tolist(), strict=True)
    return {
        "detections": [
            {"xyxy": xyxy, "score": score, "class_id": int(kind)} for xyxy, score, kind in rows
        ]
    }


def plain() -> FastAPI:
    """Return the app of the tutorials."""
    app, model = FastAPI(), load()

    @app.post("/detect")
    async def endpoint(file: UploadFile) -> dict[str, Any]:
        return detect(model, await file.read())

    return app


def threaded() -> FastAPI:
    """Return the app that keeps its event loop free."""
    app = FastAPI()
    worker = ThreadPoolExecutor(1)
    model = worker.submit(load).result()

    @app.post("/detect")
    async def endpoint(file: UploadFile) -> dict[str, Any]:
        jpeg = await file.read()
        return await asyncio.get_running_loop().run_in_executor(worker, detect, model, jpeg)

    return app


def main() -> None:
    """Serve until ended."""
    options = read_options()
    torch.set_num_threads(1)
    use_one_thread()
    app = plain() if options.setting == "default" else threaded()
    uvicorn.run(app, host="127.0.0.1", port=options.port, access_log=False)


if __name__ == "__main__":
    main()

"""The real server with a detector that is slow, or that finds the rendered clip's rectangle.

python -m tests.browser.detector_server PORT [--delay-ms N] [--yellow]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from sightline_backend.app import create_app
from sightline_backend.server import LiveServer, bind
from sightline_backend.settings import Settings
from sightline_engines.load import load_engine
from sightline_engines.types import (
    Engine,
    Family,
    ModelSpec,
    Preprocess,
    RawOutput,
    ServedModel,
    Tensor,
)

SPEC = ModelSpec(
    name="yellow",
    path=Path("yellow.onnx"),
    family=Family.END2END,
    input_size_wh=(320, 320),
    labels=("person",),
    preprocess=Preprocess(letterbox="topleft"),
    licence="Apache-2.0",
)


class YellowEngine:
    """Finds the yellow area of a picture."""

    spec = SPEC
    served = ServedModel("yellow", "1", "numpy", "fp32", "CPU")

    def infer(self, tensor: Tensor) -> RawOutput:
        """Return one box a picture, scored 0.7, or none."""
        rows = np.zeros((len(tensor), 1, 6), np.float32)
        for row, image in zip(rows, tensor, strict=True):
            mask = cv2.inRange(image, np.array([0, 140, 160]), np.array([110, 255, 255]))
            x, y, width, height = cv2.boundingRect(mask)
            if width and height:
                row[0] = (x, y, x + width, y + height, 0.7, 0)
        return (rows,)

    def close(self) -> None:
        """Nothing is held."""


class SlowEngine:
    """Takes its time before another engine does the work."""

    def __init__(self, engine: Engine, delay_s: float) -> None:
        self._engine = engine
        self._delay_s = delay_s

    @property
    def spec(self) -> ModelSpec:
        """Return the other's model."""
        return self._engine.spec

    @property
    def served(self) -> ServedModel:
        """Return the other's name."""
        return self._engine.served

    def infer(self, tensor: Tensor) -> RawOutput:
        """Wait, then run."""
        time.sleep(self._delay_s)
        return self._engine.infer(tensor)

    def close(self) -> None:
        """Close the other."""
        self._engine.close()


class OneModel:
    """A store of the yellow model alone."""

    def list(self) -> list[ModelSpec]:
        """Return it."""
        return [SPEC]

    def find(self, name_or_path: str) -> ModelSpec:
        """Return it, whatever is asked for."""
        return SPEC


async def serve(port: int, delay_s: float, yellow: bool, folder: Path) -> None:
    """Serve until stopped; live frames have time enough for the slow detector."""
    settings = Settings(port=port, deadline_ms=5_000, models_dir=folder)

    def load(spec: ModelSpec) -> Engine:
        return SlowEngine(YellowEngine() if yellow else load_engine(spec), delay_s)

    app = create_app(settings, models=OneModel() if yellow else None, load=load)
    listener = bind(settings)
    async with app.router.lifespan_context(app):
        await LiveServer(app, settings).serve([listener])


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--yellow", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        asyncio.run(serve(asked.port, asked.delay_ms / 1e3, asked.yellow, Path(folder)))


if __name__ == "__main__":
    main()

"""`python -m benchmarks.serving.cold FILE THREADS ENGINE [DEVICE]`: load and run it once.

What a worker that starts afresh can't do without, and nothing more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import numpy as np

from sightline_engines.load import EngineName, load_engine
from sightline_engines.recognise import recognise


def main(file: Path, threads: int, name: EngineName, device: str | None) -> None:
    """Return once the engine has answered."""
    engine = load_engine(recognise(file), name, device=device, threads=threads)
    width, height = engine.spec.input_size_wh
    engine.infer(np.full((engine.spec.static_batch or 1, height, width, 3), 114, np.uint8))


if __name__ == "__main__":
    path, count, chosen, *place = sys.argv[1:]
    main(Path(path), int(count), cast(EngineName, chosen), place[0] if place else None)

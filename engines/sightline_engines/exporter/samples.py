"""The inputs that a module is traced, compared and calibrated with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import ModelFileError
from sightline_engines.exporter.options import ExportConfig

Feed: TypeAlias = dict[str, NDArray[Any]]  # one call's inputs, in order, with their batch
Calibration: TypeAlias = Sequence[Mapping[str, NDArray[Any]]] | Path

_FEW = 100  # samples; INT8 calibrated on fewer is said
_COMPARED = 8  # samples of the calibration that answers are compared on
_SEED = 0


def read_calibration(config: ExportConfig, given: Calibration) -> tuple[Feed, ...]:
    """Return calibration samples as feeds that fit the configuration.

    A path is an .npz with an array for each input whose first axis counts the samples; otherwise
    each sample is what forward() takes, with its batch. Raises ModelFileError.
    """
    found = _read_npz(config, given) if isinstance(given, Path) else list(given)
    if not found:
        raise ModelFileError("There are no calibration samples; give some 200 real inputs.")
    return tuple(_fitting(config, number, sample) for number, sample in enumerate(found))


def few_note(count: int) -> tuple[str, ...]:
    """Return what to say of so many calibration samples; nothing of enough."""
    if count >= _FEW:
        return ()
    return (
        f"INT8 was calibrated on few samples ({count}); with some 200, like those that the model "
        "will see, it loses less.",
    )


def compared(config: ExportConfig, calibration: Sequence[Feed]) -> tuple[Feed, ...]:
    """Return what a made model and its source are compared on: real samples, else random ones.

    Random ones are of one item and of several.
    """
    if calibration:
        most = config.max_batch_size if config.batched else None  # Triton takes no more at once
        return tuple({n: a[:most] for n, a in feed.items()} for feed in calibration[:_COMPARED])
    several = min(config.max_batch_size, 3)
    return random_feed(config, 1, {}), random_feed(config, max(several, 1), {}, seed=1)


def random_feed(
    config: ExportConfig, batch: int, sides: Mapping[str, int], seed: int = _SEED
) -> Feed:
    """Return one call's inputs: normal floats, whole numbers 0 and 1; `sides` by axis name."""
    rng = np.random.default_rng(seed + batch)
    feed: Feed = {}
    for name in config.input_shapes:
        shape = list(config.whole_shape(name, batch))
        for axis, called in config.dynamic_axes.get(name, {}).items():
            shape[axis] = sides.get(called, shape[axis])
        kind = config.dtype(name)
        if kind.kind == "f":
            feed[name] = rng.standard_normal(shape).astype(kind)
        else:  # an index into a table, or a mask: every module has a first and a second
            feed[name] = rng.integers(0, 2, shape).astype(kind)
    return feed


def other_sides(config: ExportConfig) -> tuple[dict[str, int], ...]:
    """Return by which sides of the open axes to tell what follows them, the likeliest first."""
    own = {
        called: config.whole_shape(name)[axis]
        for name, axes in config.dynamic_axes.items()
        for axis, called in axes.items()
    }
    if not own:
        return ({},)
    ways = []
    for kind in range(3):
        way = {}
        for called, side in own.items():
            least, most = config.range_of(called) or (1, side * 2)
            wanted = (side * 2, side // 2, side + 1)[kind]
            wanted = min(max(wanted, least), most)
            way[called] = wanted if wanted != side else (least if least != side else most)
        ways.append(way)
    return tuple(way for number, way in enumerate(ways) if way not in ways[:number])


def _read_npz(config: ExportConfig, path: Path) -> list[Feed]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise ModelFileError(
            f"{path} can't be read as calibration samples: {error}. Write it with "
            "numpy.savez(path, INPUT=array), the array's first axis counting the samples."
        ) from error
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if set(arrays) != set(config.input_shapes) or len(set(counts.values())) != 1:
        held = ", ".join(f"{name} ({count})" for name, count in counts.items()) or "nothing"
        raise ModelFileError(
            f"{path} holds {held}; it must hold as many samples of each input: "
            f"{', '.join(config.input_shapes)}."
        )
    count = next(iter(counts.values()))
    return [
        {n: a[i : i + 1] if config.batched else a[i] for n, a in arrays.items()}
        for i in range(count)
    ]


def _fitting(config: ExportConfig, number: int, sample: Mapping[str, NDArray[Any]]) -> Feed:
    if set(sample) != set(config.input_shapes):
        raise ModelFileError(
            f"Calibration sample {number} holds {', '.join(sample) or 'nothing'}; the model takes "
            f"{', '.join(config.input_shapes)}."
        )
    feed: Feed = {}
    for name in config.input_shapes:
        array = np.asarray(sample[name])
        wanted = config.whole_shape(name)
        open_axes = config.axes()[name]
        fits = array.ndim == len(wanted) and all(
            axis in open_axes or side == wanted[axis] for axis, side in enumerate(array.shape)
        )
        if not fits or not np.can_cast(array.dtype, config.dtype(name), "same_kind"):
            shown = ["any" if axis in open_axes else side for axis, side in enumerate(wanted)]
            raise ModelFileError(
                f"Calibration sample {number}: {name} is {array.dtype} {list(array.shape)}; it "
                f"must be {config.dtype(name)} [{', '.join(map(str, shown))}]."
            )
        feed[name] = np.ascontiguousarray(array, config.dtype(name))
    return feed

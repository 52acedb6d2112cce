"""The range of values that INT8 scales are chosen for: all but a few far out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from sightline_engines.convert.calibration import Samples
from sightline_engines.convert.prepare import prepare
from sightline_engines.convert.ranges import value_ranges
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.types import Tensor
from tests.engines.tiny import probe_model

WIDTH, HEIGHT = 64, 24


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that answers its own input, which is RGB from 0 to 255 or 0 to 1."""
    return probe_model(tmp_path_factory.mktemp("probe") / "probe.onnx", size_wh=(WIDTH, HEIGHT))


def pictures(count: int, value: int, *outliers: int) -> Tensor:
    """Return pictures of one grey, the first values of which are others."""
    made = np.full((count, HEIGHT, WIDTH, 3), value, np.uint8)
    made.reshape(-1)[: len(outliers)] = outliers
    return made


@pytest.mark.parametrize(
    ("count", "value", "outliers", "high"),
    [
        (1, 0, (), 0),
        (1, 100, (), 100),
        (3, 100, (), 100),
        (1, 100, (200,), 200),  # one of 4608 values
        (3, 100, (200,), 100),  # one of 13824: less than 0.01 %
        (3, 100, (200, 200), 200),
        (9, 100, (250,) * 4, 100),  # over all pictures, not in each
        (9, 100, (250,) * 5, 250),
    ],
)
def test_a_range_spans_zero_and_all_values_but_one_in_ten_thousand(
    probe: Path, count: int, value: int, outliers: tuple[int, ...], high: float
) -> None:
    spec = recognise(probe)
    scale = spec.preprocess.scale
    told: list[float] = []
    found = value_ranges(
        prepare(spec, spec.input_size_wh),
        ["images", "output0"],
        Samples(pictures(count, value, *outliers), spec),
        lambda share, _: told.append(share),
    )
    step = 255 * scale / 2048
    assert found["images"] == found["output0"]
    assert found["images"][0] == 0
    assert found["images"][1] == pytest.approx(high * scale, abs=2 * step)
    assert told == sorted(told)


def test_values_below_zero_are_seen(probe: Path) -> None:
    spec = recognise(probe)
    found = value_ranges(turned(probe, "Neg"), ["negative"], Samples(pictures(1, 100), spec))
    low, high = found["negative"]
    assert low == pytest.approx(-100 * spec.preprocess.scale, rel=0.01)
    assert high == 0


def test_what_is_no_number_is_refused(probe: Path) -> None:
    samples = Samples(pictures(1, 0, 5), recognise(probe))
    for op in ("Log", "Reciprocal"):  # both are infinite at 0
        with pytest.raises(ModelFileError, match="no finite numbers"):
            value_ranges(turned(probe, op), ["negative"], samples)


def turned(probe: Path, op: str) -> ModelProto:
    """Return the model with another operator's answer inside it."""
    spec = recognise(probe)
    model = prepare(spec, spec.input_size_wh)
    model.graph.node.append(helper.make_node(op, ["images"], ["negative"]))
    return model

"""What a model's metadata says of how to ask it; no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sightline_engines.errors import ProviderError
from sightline_engines.triton.errors import UnfitAnswerError
from sightline_engines.triton.facts import ModelMetadata, TensorFacts
from sightline_engines.triton.find import FoundModel
from sightline_engines.triton.port import checked, port_of
from tests.fakes import SPEC


def found(
    inputs: Sequence[TensorFacts], outputs: Sequence[TensorFacts], max_batch: int = 8
) -> FoundModel:
    metadata = ModelMetadata("theirs", ("1",), "", tuple(inputs), tuple(outputs))
    return FoundModel("theirs", metadata, max_batch, "", None)


PIXELS = TensorFacts("in", "UINT8", (-1, 64, 64, 3))
BOXES = TensorFacts("out", "FP32", (-1, 300, 6))


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (found([], []), "0 inputs and 0 outputs"),
        (found([PIXELS], [BOXES, BOXES]), "1 inputs and 2 outputs"),
        (found([replace(PIXELS, datatype="BYTES")], [BOXES]), "BYTES"),
        (found([replace(PIXELS, datatype="FP32")], [BOXES]), r"\[-1, 3, 64, 64\]"),
        (found([replace(PIXELS, shape=(-1, 64, 64, 4))], [BOXES]), "64, 64, 4"),
        (found([replace(PIXELS, shape=(64, 64, 3))], [BOXES]), r"\[64, 64, 3\]"),
        (found([PIXELS], [replace(BOXES, datatype="INT64")]), "INT64"),
        (found([PIXELS], [replace(BOXES, shape=(-1, 300, 7))]), "300, 7"),
    ],
)
def test_metadata_that_cannot_be_a_detectors_is_refused(model: FoundModel, match: str) -> None:
    with pytest.raises(ProviderError, match=match):
        port_of(model, SPEC)


@pytest.mark.parametrize(
    ("max_batch", "first", "size", "requests"),
    [
        (8, -1, 1, [1]),
        (8, -1, 9, [8, 1]),
        (0, -1, 17, [16, 1]),
        (0, 4, 6, [4, 4]),
        (0, 1, 2, [1, 1]),
    ],
)
def test_a_batch_is_cut_as_the_model_takes_it(
    max_batch: int, first: int, size: int, requests: list[int]
) -> None:
    model = found([replace(PIXELS, shape=(first, 64, 64, 3))], [BOXES], max_batch)
    port = port_of(model, SPEC)
    chunks = list(port.chunks(np.zeros((size, 64, 64, 3), np.uint8)))
    assert [len(chunk) for chunk in chunks] == requests


@pytest.mark.parametrize("shape", [(1, 300, 7), (300, 6), (2, 300, 6)])
def test_an_answer_of_another_shape_says_that_another_model_bears_the_name(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(UnfitAnswerError):
        checked((np.zeros(shape, np.float32),), 1, SPEC)

"""Which file does: the newest that is just what is asked for, the user's own before what ships."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sightline_backend.jobs.work.wanted import Wanted, found
from sightline_backend.store.records import Artefact, Version
from sightline_engines.assets import shipped_model
from sightline_engines.recognise import recognise
from sightline_engines.types import Format

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = recognise(shipped_model("int8"))


def int8(number: int, origin: str) -> Artefact:
    return Artefact(
        number, "m", 1, Format.ONNX, "int8", "0" * 64, 1, Path("m.onnx"), SPEC, None, origin,
        None, None, NOW,
    )  # fmt: skip


SHIPPED, OWN, NEWER = int8(1, "shipped"), int8(2, "job 7"), int8(3, "job 9")
FP32 = replace(SHIPPED, id=4, precision="fp32")


@pytest.mark.parametrize(
    ("artefacts", "unnamed", "named"),
    [
        ((), None, None),
        ((FP32,), None, None),
        ((SHIPPED,), SHIPPED, None),
        ((SHIPPED, OWN), OWN, OWN),
        ((OWN, SHIPPED), OWN, OWN),
        ((OWN, NEWER, SHIPPED), NEWER, NEWER),
    ],
)
def test_int8_that_ships_comes_last_and_not_at_all_where_pictures_are_named(
    artefacts: tuple[Artefact, ...], unnamed: Artefact | None, named: Artefact | None
) -> None:
    version = Version(1, "", "", NOW, artefacts)
    want = Wanted(Format.ONNX, "int8")
    assert found(version, want, SPEC.input_size_wh) == unnamed
    assert found(version, want, SPEC.input_size_wh, "mine") == named


def test_another_size_is_not_it() -> None:
    assert found(Version(1, "", "", NOW, (OWN,)), Wanted(Format.ONNX, "int8"), (64, 64)) is None


def test_fp32_that_ships_stays_where_pictures_are_named() -> None:
    version = Version(1, "", "", NOW, (FP32, SHIPPED))
    assert found(version, Wanted(Format.ONNX, "fp32"), SPEC.input_size_wh, "mine") == FP32

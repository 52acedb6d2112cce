"""Processes that share a store, and die: there is never half a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sightline_engines.assets import shipped_model
from tests.conftest import ROOT


def crash(what: str, *arguments: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.crashing", what, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", ["at_once", "killed_while_held", "killed_while_adding"])
def test_every_model_is_whole_when_processes_are(what: str, tmp_path: Path) -> None:
    crash(what, tmp_path / "models")


def test_a_disk_that_is_full_keeps_what_was_there(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(shipped_model().read_bytes() + b"\x72\x00")  # the same graph, other bytes
    crash("full_disk", tmp_path / "models", other)

"""What the command tests share: a runner, and a model folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sightline_backend.cli import console
from sightline_backend.cli.main import app

WIDTH = 250
Run = Callable[..., Result]


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the commands keep models in, empty."""
    folder = tmp_path / "models"
    monkeypatch.setenv("SIGHTLINE_MODELS_DIR", str(folder))
    return folder


@pytest.fixture
def run(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `sightline` with arguments, in a wide terminal."""
    # Not by COLUMNS: Rich heeds it in a terminal alone, which is none where tests run side by side.
    monkeypatch.setattr(console.stdout, "width", WIDTH)
    monkeypatch.setattr(console.stderr, "width", WIDTH)
    monkeypatch.setenv("COLUMNS", str(WIDTH))  # of Typer's own help

    def run_sightline(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, list(map(str, arguments)), prog_name="sightline")

    return run_sightline

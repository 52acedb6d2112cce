"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.triton.environment import TritonEnvironment

ROOT = Path(__file__).resolve().parent.parent


def missing(what: str) -> None:
    """Skip for a component this machine lacks; in CI, which installs them all, fail."""
    if os.environ.get("SIGHTLINE_CI"):  # noqa: TID251
        pytest.fail(f"CI must have it: {what}")
    pytest.skip(what)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real weights, pictures and clips (docs/testing.md)."""
    named = os.environ.get("SIGHTLINE_TEST_DATA")  # noqa: TID251
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        missing(f"the test material is not at {folder}; SIGHTLINE_TEST_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def triton_environment() -> TritonEnvironment:
    """Return where a real tritonserver lies, installed at the first use (docs/testing.md)."""
    from tests.triton.environment import install_triton

    return install_triton()

"""Fixtures of the engine tests: real weights and pictures where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sightline_engines.errors import ProviderError
from sightline_engines.load import EngineName, load_engine
from sightline_engines.types import Engine, ModelSpec
from tests.conftest import missing

Load = Callable[[ModelSpec], Engine]


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine_name(request: pytest.FixtureRequest) -> EngineName:
    """Return each runtime in turn."""
    name: EngineName = request.param
    return name


@pytest.fixture
def load(engine_name: EngineName) -> Load:
    """Return what loads a model on one runtime's CPU, two threads at most."""

    def loaded(spec: ModelSpec) -> Engine:
        try:
            return load_engine(spec, engine_name, device="cpu", threads=2)
        except ProviderError as error:
            missing(error.message)
            raise

    return loaded


@pytest.fixture(scope="session")
def weights(shared_data: Path) -> Path:
    """Return the folder of real weights."""
    return shared_data / "weights"

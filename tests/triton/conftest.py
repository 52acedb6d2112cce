"""Models and a repository to deploy them in, with no server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.recognise import recognise
from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository
from sightline_engines.types import ModelSpec
from tests.triton.tiny_classifier import CLASSES, SIDE, tiny_classifier


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def deployments(repository: Repository) -> Deployments:
    return Deployments(repository)


@pytest.fixture
def shades(tmp_path: Path) -> ClassifierSpec:
    """Return a classifier, the quickest model to deploy."""
    path = tmp_path / "shades.onnx"
    path.write_bytes(tiny_classifier())
    return ClassifierSpec("shades", path, (SIDE, SIDE), CLASSES, top_k=2)


@pytest.fixture(scope="module")
def webcam() -> ModelSpec:
    return replace(recognise(shipped_model()), name="webcam")

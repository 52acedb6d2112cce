"""What the images are made of: pinned by hash, each member's own, of one version everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

SERVER = ("engines", "monitoring", "backend")
EXTRAS = ("openvino", "clips", "benchmark", "postgres")
IMAGES = {
    "backend": (SERVER, ("onnx", *EXTRAS)),
    "backend-gpu": (SERVER, ("onnx-gpu", *EXTRAS)),
    "frontend": (("engines", "frontend"), ("clips",)),
}
ADDED = ("backend-convert", "backend-tensorrt")  # to an image of the server
FOREIGN = {
    "backend": {"streamlit", "aiortc", "torch", "pytest", "onnxruntime-gpu"},
    "backend-gpu": {"streamlit", "aiortc", "torch", "pytest", "onnxruntime"},
    "frontend": {"fastapi", "onnx", "onnxruntime", "openvino", "torch", "pytest"},
}


def pins(path: Path) -> dict[str, set[str]]:
    """Return what a file pins: the versions of each name, one for each group of Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", path.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def wanted(members: tuple[str, ...], extras: tuple[str, ...]) -> set[str]:
    """Return the names that the members' pyproject.toml ask for."""
    lines: list[str] = []
    for member in members:
        with (ROOT / member / "pyproject.toml").open("rb") as file:
            project: dict[str, Any] = tomllib.load(file)["project"]
        lines += project["dependencies"]
        for extra, more in project.get("optional-dependencies", {}).items():
            lines += more if extra in extras else ()
    names = {re.split(r"[\[<>=~!; ]", line)[0].lower() for line in lines}
    return {name for name in names if not name.startswith("sightline-")}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_gets_all_that_its_members_ask_for_and_nothing_of_others(image: str) -> None:
    there = set(pins(ROOT / f"requirements-{image}.txt"))
    assert wanted(*IMAGES[image]) <= there
    assert not there & FOREIGN[image]


@pytest.mark.parametrize("image", ["backend", "backend-gpu"])
def test_the_servers_image_can_convert_and_gets_nncf_when_told_to(image: str) -> None:
    there, told = (pins(ROOT / f"requirements-{name}.txt") for name in (image, "backend-convert"))
    assert "onnxslim" in there
    assert "nncf" in told
    assert "nncf" not in there
    for name in there.keys() & told.keys():  # both are installed together
        assert there[name] == told[name], name


def test_the_gpus_image_can_make_plans_with_the_tensorrt_that_it_has() -> None:
    there, told = (pins(ROOT / f"requirements-{name}.txt") for name in ("backend-gpu", ADDED[1]))
    assert {"cuda-bindings", "polygraphy", "tensorrt-cu13-bindings"} <= told.keys()
    assert "nvidia-ml-py" in there
    for name in there.keys() & told.keys():  # both are installed together
        assert there[name] == told[name], name
    dockerfile = (ROOT / "backend" / "Dockerfile").read_text()
    (version,) = re.findall(r"^ARG TENSORRT=([\d.]+)-", dockerfile, re.MULTILINE)
    (pin,) = told["tensorrt-cu13-bindings"]
    assert pin.startswith(f"{version}.post")


@pytest.mark.parametrize("image", [*IMAGES, *ADDED])
def test_every_pin_has_its_hashes(image: str) -> None:
    text = (ROOT / f"requirements-{image}.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert entries
    for entry in entries:
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("image", [*IMAGES, *ADDED])
def test_an_image_has_the_versions_that_an_installation_has(image: str) -> None:
    installed = pins(ROOT / ("requirements-gpu.txt" if "gpu" in image else "requirements.txt"))
    for name, versions in pins(ROOT / f"requirements-{image}.txt").items():
        assert versions <= installed.get(name, versions), name  # PostgreSQL's driver is the image's


@pytest.mark.parametrize("image", [*IMAGES, *ADDED])
def test_no_file_names_where_packages_are_downloaded_from(image: str) -> None:
    text = (ROOT / f"requirements-{image}.txt").read_text()
    assert not re.search(r"://|--index|--find-links", text)

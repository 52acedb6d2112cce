"""What the server and its jobs import is in their image, after all that its build leaves out."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.deploy.test_image_pins import pins

MEMBERS = {
    "sightline_engines": ROOT / "engines",
    "sightline_monitoring": ROOT / "monitoring",
    "sightline_backend": ROOT / "backend",
}
JOBS = ("sightline_engines/convert", "sightline_engines/benchmark", "sightline_backend/jobs")
# Used where they are, and missed with a message: by checkpoints, by TensorRT's plans, by a program
# that wants its boxes as supervision has them. The last is Triton's, for what runs inside it.
ELSEWHERE = {"torch", "ultralytics", "tensorrt", "polygraphy", "cuda", "supervision"} | {
    "triton_python_backend_utils"
}
DOCKERFILE = (ROOT / "backend" / "Dockerfile").read_text()

Import = tuple[str, str]  # a module, and a name in it or nothing


def imports(file: Path) -> Iterator[Import]:
    """Yield what a file imports, within functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def sources(*within: str) -> Iterator[tuple[str, Path]]:
    """Yield each module of the server by its name, of some folders alone if they are given."""
    for package, folder in MEMBERS.items():
        for file in sorted((folder / package).rglob("*.py")):
            path = file.relative_to(folder)
            if not within or path.as_posix().startswith(within):
                yield ".".join(path.with_suffix("").parts).removesuffix(".__init__"), file


def left_out() -> list[str]:
    """Return the modules that the build of the server's image deletes."""
    (deleted,) = re.findall(r"^RUN rm -rf (openvino/.+?) \\\n    && find", DOCKERFILE, re.M | re.S)
    paths = [word for word in deleted.split() if word != "\\" and "." not in word]
    return [path.replace("/", ".") for path in paths]


@cache
def installed() -> Mapping[str, set[str]]:
    """Return the top modules of all libraries here, each with the libraries that have it."""
    return {
        top: {name.lower().replace("_", "-") for name in names}
        for top, names in packages_distributions().items()
        if top not in sys.stdlib_module_names | MEMBERS.keys()
    }


def in_image(*files: str) -> set[str]:
    """Return the top modules that an image has of libraries."""
    there = {name for file in files for name in pins(ROOT / f"requirements-{file}.txt")}
    return {top for top, names in installed().items() if names & there}


def not_importable(wanted: set[Import], *files: str) -> dict[str, str]:
    """Return what of this can't be imported in an image, each with the reason."""
    asked = {
        "foreign": sorted(installed()),
        "there": sorted(in_image(*files)),
        "gone": left_out(),
        "wanted": sorted(wanted),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.deploy.as_in_image"],
        input=json.dumps(asked),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_build_leaves_these_out_among_others() -> None:
    assert {"openvino.tools", "onnxruntime.tools", "onnx.backend.test", "av"} <= set(left_out())


def test_every_library_that_the_server_names_is_in_its_image_or_known_to_be_elsewhere() -> None:
    known = sys.stdlib_module_names | MEMBERS.keys() | ELSEWHERE
    known |= in_image("backend", "backend-convert")
    lacking = {
        f"{name} in {module}"
        for module, file in sources()
        for name, _ in imports(file)
        if name.partition(".")[0] not in known
    }
    assert not lacking


def test_all_that_jobs_import_can_be_imported_in_the_image() -> None:
    wanted = {(module, "") for module, _ in sources(*JOBS) if not module.endswith("__main__")}
    for _, file in sources(*JOBS):
        wanted |= {one for one in imports(file) if one[0].partition(".")[0] not in ELSEWHERE}
    assert ("onnxruntime.transformers.float16", "convert_float_to_float16") in wanted
    assert {("onnxslim", ""), ("sightline_engines.convert.ir", ""), ("nncf", "")} <= wanted
    assert set(not_importable(wanted, "backend")) == {"nncf"}


def test_nncf_can_be_imported_in_the_image_that_is_to_have_it() -> None:
    assert not_importable({("nncf", "")}, "backend", "backend-convert") == {}


def test_what_an_image_lacks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.left_out", lambda: ["yaml"])
    failed = not_importable({("yaml", ""), ("streamlit", ""), ("psutil", "")}, "backend")
    assert set(failed) == {"yaml", "streamlit"}

"""The modules of Sightline that the Python steps inside Triton carry with them.

Triton's machine need not have Sightline: a step's folder holds all that it imports, as it was
when the deployment was made, so that an update never changes what is deployed.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = "sightline_engines"
MODULES = (  # all that the steps import, and no more (tests/triton/test_steps.py)
    "__init__",
    "errors",
    "exif",
    "header",
    "heads",
    "layout",
    "nms",
    "passport",
    "picture",
    "postprocess",
    "preprocess",
    "triton/__init__",
    "triton/steps/__init__",
    "triton/steps/answers",
    "triton/steps/boxes",
    "triton/steps/classes",
    "triton/steps/crop",
    "triton/steps/names",
    "triton/steps/pictures",
    "triton/steps/step",
    "turn",
    "types",
)
_ROOT = Path(__file__).resolve().parent.parent


def vendored() -> dict[str, str]:
    """Return a version folder's Python files by their path in it: model.py and what it imports."""
    files = {"model.py": (_ROOT / "triton" / "steps" / "model.py").read_text(encoding="utf-8")}
    for module in MODULES:
        source = (_ROOT / f"{module}.py").read_text(encoding="utf-8")
        files[f"{PACKAGE}/{module}.py"] = source
    return files

"""`streamlit run` puts the folder of app.py first on the path of imports."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import sightline_frontend

FOLDER = Path(sightline_frontend.__file__).parent


def test_no_module_beside_app_py_hides_an_installed_one() -> None:
    elsewhere = [p for p in sys.path if Path(p or ".").resolve() != FOLDER]
    beside = {p.stem for p in FOLDER.glob("*.py")} | {p.name for p in FOLDER.glob("[a-z]*/")}
    hidden = {
        name
        for name in beside - {"__init__", "__pycache__"}
        if name in sys.stdlib_module_names
        or ((spec := PathFinder.find_spec(name, elsewhere)) is not None and spec.origin)
    }
    assert hidden == set()

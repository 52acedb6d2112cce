"""The Python that runs Sightline."""

from __future__ import annotations

import platform
import sys

from sightline_backend.cli.checks.check import Check, fail, ok


def check_python(version: tuple[int, int] | None = None) -> Check:
    """Say whether this Python is one that Sightline is tested with."""
    version = version or (sys.version_info.major, sys.version_info.minor)
    found = f"Python {platform.python_version()} at {sys.prefix}"
    if (3, 11) <= version <= (3, 13):
        return ok("python", found)
    return fail(
        "python",
        f"{found}; supported are 3.11 to 3.13",
        "Install Python 3.12, delete .venv and run: PYTHON=python3.12 make install",
    )

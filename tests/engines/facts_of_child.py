"""A task of the sandbox that prints what it was given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(arguments: dict[str, Any], tell: Callable[[float, str], None]) -> None:
    """Print the process's status, environment and open files."""
    print(Path("/proc/self/status").read_text())
    print("names:", *sorted(os.environ))  # noqa: TID251
    opened = []
    for number in range(64):
        try:
            os.fstat(number)
        except OSError:
            continue
        opened.append(number)
    print("files:", *opened)

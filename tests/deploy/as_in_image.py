"""Import what is asked for as if only an image's libraries were there; a program of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

TESTS = {"test", "tests"}


@dataclass(frozen=True, slots=True)
class InImage:
    """A finder that doesn't find what the image lacks."""

    finder: Any
    foreign: frozenset[str]  # top modules of all libraries that are installed here
    there: frozenset[str]  # those of them that are in the image
    gone: tuple[str, ...]  # modules of theirs that aren't

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the import system asks for it."""
        top, *parts = name.split(".")
        if top in self.foreign and (top not in self.there or TESTS.intersection(parts)):
            return None
        if any(f"{name}.".startswith(f"{one}.") for one in self.gone):
            return None
        found: ModuleSpec | None = self.finder.find_spec(name, path, target)
        return found

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Find what is known of libraries, such as their versions."""
        find = getattr(self.finder, "find_distributions", None)
        return find(context) if find else ()


def main() -> None:
    """Read `foreign`, `there`, `gone`, `wanted` as JSON; print what can't be imported, and why."""
    asked = json.load(sys.stdin)
    foreign, there = frozenset(asked["foreign"]), frozenset(asked["there"])
    sys.meta_path[:] = [
        InImage(finder, foreign, there, tuple(asked["gone"])) for finder in sys.meta_path
    ]
    failed = {}
    for module, name in asked["wanted"]:
        try:
            found = import_module(module)
            if name and not hasattr(found, name):
                import_module(f"{module}.{name}")
        except ImportError as error:
            failed[f"{module} {name}".strip()] = str(error)
    print(json.dumps(failed))


if __name__ == "__main__":
    main()

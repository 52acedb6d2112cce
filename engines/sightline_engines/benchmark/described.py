"""The data.yaml of a YOLO folder, with every value read as the text that it is.

So nothing in it becomes a date or a number of any length, `no` stays a class's name, and what
would be said once and used many times over (an alias) is refused: it grows without end.
"""

from __future__ import annotations

from typing import Any

import yaml

from sightline_engines.benchmark.labelled import DatasetError
from sightline_engines.texts import cut

_MAX_CHARS = 2**20
_NOTHING = ("", "~", "null", "Null", "NULL")


class _Loader(yaml.BaseLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse what PyYAML would look up."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) aren't accepted; write it out")
        return super().compose_node(parent, index)


def read_described(text: str, name: str) -> dict[str, Any]:
    """Return a data.yaml's texts, lists and objects without empty entries; raises DatasetError."""
    if len(text) > _MAX_CHARS:
        raise DatasetError(f"{name} is longer than {_MAX_CHARS} characters.")
    try:
        data = yaml.load(text, _Loader)  # noqa: S506  a BaseLoader: nothing but text is made
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is no YAML"
        raise DatasetError(f"{name}{line}: {cut(str(problem), 200)}.") from error
    except RecursionError as error:
        raise DatasetError(f"{name} is nested too deeply.") from error
    if not isinstance(data, dict):
        raise DatasetError(f"{name} must hold names and folders, such as `val: images/val`.")
    return {key: value for key, value in data.items() if value not in _NOTHING}

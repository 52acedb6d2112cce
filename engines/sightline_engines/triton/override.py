"""Whether the config that Triton has in force is the one that its file says."""

from __future__ import annotations

from typing import Any


def overridden(file: Any, served: Any, path: str = "") -> str | None:
    """Return the first field of a file's `ModelConfig` that is another in force, None if none is.

    Triton adds what a file leaves out, so only what the file says is compared.
    """
    for field, wanted in file.ListFields():
        name = f"{path}.{field.name}" if path else field.name
        found = _differs(field, wanted, getattr(served, field.name), name)
        if found is not None:
            return found
    return None


def _differs(field: Any, wanted: Any, given: Any, name: str) -> str | None:
    if field.message_type is None:
        return None if _plain(wanted) == _plain(given) else name
    if field.message_type.GetOptions().map_entry:
        return _differing_entry(wanted, given, name)
    if not _is_list(wanted):
        return overridden(wanted, given, name)
    if len(wanted) != len(given):
        return name
    pairs = zip(wanted, given, strict=True)
    return next((found for a, b in pairs if (found := overridden(a, b, name)) is not None), None)


def _differing_entry(wanted: Any, given: Any, name: str) -> str | None:
    for key, value in wanted.items():
        if key not in given:
            return f"{name} {key}"
        if not hasattr(value, "ListFields"):
            if value != given[key]:
                return f"{name} {key}"
        elif (found := overridden(value, given[key], f"{name} {key}")) is not None:
            return found
    return None


def _plain(value: Any) -> Any:
    return list(value) if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return hasattr(value, "append")

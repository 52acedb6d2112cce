"""Answers of the detector, read into types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sightline_frontend.backend import BackendError

T = TypeVar("T")


def told(read: Callable[[Mapping[str, Any]], T], data: Any) -> T:
    """Read one answer; raises BackendError for one that these pages don't understand."""
    try:
        return read(data)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise BackendError(
            "The detector's answer isn't understood: it and these pages are of different "
            f"versions ({type(error).__name__}: {error})."
        ) from error


def told_all(read: Callable[[Mapping[str, Any]], T], data: Any) -> tuple[T, ...]:
    """Read a list of answers; raises BackendError."""
    if not isinstance(data, list):
        data = [data]
    return tuple(told(read, one) for one in data)

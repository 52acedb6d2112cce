"""The result of looking at one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a thing is; INFO is missing and need not be, FAIL keeps Sightline from working here."""

    OK = "ok"
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing: what was found, and how to mend it where it isn't OK."""

    name: str
    state: State
    found: str
    mend: str = ""


def ok(name: str, found: str) -> Check:
    return Check(name, State.OK, found)


def info(name: str, found: str) -> Check:
    return Check(name, State.INFO, found)


def warn(name: str, found: str, mend: str) -> Check:
    return Check(name, State.WARN, found, mend)


def fail(name: str, found: str, mend: str) -> Check:
    return Check(name, State.FAIL, found, mend)

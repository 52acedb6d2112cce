"""The server's settings as the commands see them: variables first, then what they were given."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sightline_backend.cli.console import fail
from sightline_backend.settings import Settings
from sightline_backend.store.models import ModelStore
from sightline_backend.store.store import Store, open_store


def read_settings(**given: Any) -> Settings:
    """Build the settings from SIGHTLINE_* variables; what is given and not None outweighs them.

    Ends the program with a sentence a variable that is wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = [_variable(e["loc"]) + e["msg"] for e in error.errors()]
        fail("A setting is wrong. " + "; ".join(problems))


def store() -> Store:
    """Return the store that the settings name; nothing is opened yet."""
    settings = read_settings()
    return open_store(settings.models_dir, settings.database_url)


def model_store() -> ModelStore:
    """Return the models of that store."""
    return store().models


def _variable(where: tuple[int | str, ...]) -> str:
    """Return the variable to correct, with a colon; nothing where several don't go together."""
    if not where:
        return ""
    name = "_".join(map(str, where)).upper()
    known = str(where[0]).isupper()  # a setting that other programs' variables set, too
    return f"{name}: " if known else f"SIGHTLINE_{name}: "

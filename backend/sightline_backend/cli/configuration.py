"""The server's settings as the commands see them: variables first, then what they were given."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sightline_backend.cli.console import fail
from sightline_backend.models.store import ModelStore
from sightline_backend.settings import Settings


def read_settings(**given: Any) -> Settings:
    """Build the settings from SIGHTLINE_* variables; what is given and not None outweighs them.

    Ends the program with a sentence a variable that is wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = [
            f"SIGHTLINE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()
        ]
        fail("A setting is wrong. " + "; ".join(problems))


def model_store() -> ModelStore:
    """Return the store in the folder that the settings name."""
    return ModelStore(read_settings().models_dir)

"""The model that serves, and the folder of the others."""

from __future__ import annotations

from sightline_backend.cli.checks.check import Check, fail, ok, warn
from sightline_backend.store.models import ModelStore
from sightline_engines.errors import SightlineError
from sightline_engines.types import ModelSpec


def check_model(store: ModelStore, name: str) -> tuple[Check, ModelSpec | None]:
    """Say whether the model that is set can be read, and return it."""
    try:
        spec = store.find(name)
    except SightlineError as error:
        mend = "Set SIGHTLINE_MODEL to one that `sightline models list` shows."
        return fail("model", error.message, mend), None
    size = spec.path.stat().st_size / 1e6
    return ok("model", f"{spec.name}, {size:.1f} MB, licence {spec.licence}"), spec


def check_added(store: ModelStore) -> list[Check]:
    """Name the added models that can't be read."""
    return [
        warn(f"model {broken.name}", broken.problem, f"sightline models remove {broken.name}")
        for broken in store.broken()
    ]

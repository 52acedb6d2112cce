"""The model that serves, and the folder of the others."""

from __future__ import annotations

from sightline_backend.cli.checks.check import Check, fail, ok, warn
from sightline_backend.store.models import ModelStore
from sightline_engines.assets import SHIPPED_PRECISIONS
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
    """Name the models that can't be read, and what an install lacks of its own."""
    return [
        warn(f"model {broken.name}", broken.problem, _mend(broken.name))
        for broken in store.broken()
    ]


def _mend(name: str) -> str:
    if name in SHIPPED_PRECISIONS:  # can't be removed, and the problem says what to do
        return "Do as it says, then look again."
    return f"sightline models remove {name}"

"""What an artefact loses against the one that serves, and whether that is too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline_backend.errors import AccuracyGateError
from sightline_backend.store.records import Artefact, Measurement
from sightline_backend.store.store import Store


def measured(store: Store, artefact: Artefact) -> Sequence[Measurement]:
    """Return what was measured of an artefact at the input size that it serves with."""
    size = artefact.spec.input_size_wh if artefact.spec else ()
    return [
        one
        for one in store.measurements.of(artefact.id)
        if tuple((one.figures.get("cell") or {}).get("input_size_wh") or ()) == tuple(size)
    ]


def accuracy_loss(now: Sequence[Measurement], new: Sequence[Measurement]) -> float | None:
    """Return how much lower the mAP50-95 of `new` is, on the newest data set of both.

    The newest measurement of each counts, and the classes that `now` knows: one that `new`
    doesn't know has an AP of 0. None: they were not measured on the same data.
    """
    ours, theirs = _by_dataset(now), _by_dataset(new)
    both = [sha for sha in theirs if sha in ours]  # the newest last
    return _lost(ours[both[-1]], theirs[both[-1]]) if both else None


def newest_accuracy(measured: Sequence[Measurement]) -> float | None:
    """Return the newest mAP50-95, on whatever data set; None: it was never measured."""
    newest = next(reversed(_by_dataset(measured).values()), None)
    return None if newest is None else float(newest["map50_95"])


def check_gate(
    now: Artefact | None, new: Artefact, loss: float | None, most: float, *, force: bool
) -> None:
    """Raise AccuracyGateError where a promotion loses more than `most`, or nobody knows.

    Not measured is fine for another file of the same version, precision and input size:
    conversions are compared with their source as they are made.
    """
    if force or now is None or now.id == new.id:
        return
    how = "To do it all the same, promote with --force and --reason (API: force and reason)."
    if loss is None:
        if _kind(now) == _kind(new):
            return
        raise AccuracyGateError(
            f"Nobody has measured what {_named(new)} loses against {_named(now)}, which serves: "
            "both need an accuracy on the same data set, each at its own input size. Measure them: "
            f"`sightline benchmark --model {new.model} --data FOLDER`, or a job of POST "
            f"/api/validate for artefacts {now.id} and {new.id}. {how}"
        )
    if loss > most:
        raise AccuracyGateError(
            f"{_named(new)} loses {loss:.4f} mAP50-95 against {_named(now)}, which serves; at "
            f"most {most:g} is allowed (SIGHTLINE_MAX_ACCURACY_LOSS). Classes that it doesn't know "
            f"count as 0. {how}"
        )


def _kind(artefact: Artefact) -> tuple[object, ...]:
    size = artefact.spec.input_size_wh if artefact.spec else None
    return artefact.version, artefact.precision, size


def _named(artefact: Artefact) -> str:
    return f"artefact {artefact.id} ({artefact.format} {artefact.precision}, version " + (
        f"{artefact.version})"
    )


def _lost(now: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    ours, theirs = _classes(now), _classes(new)
    if not ours or not theirs:
        return float(now["map50_95"]) - float(new["map50_95"])
    return sum(ap - theirs.get(label, 0.0) for label, ap in ours.items()) / len(ours)


def _classes(accuracy: Mapping[str, Any]) -> dict[str, float]:
    """Return the AP50-95 of the classes that a model knows and the pictures hold."""
    rows = accuracy.get("per_class") or {}
    return {label: row["ap50_95"] for label, row in rows.items() if row["ap50_95"] is not None}


def _by_dataset(measured: Sequence[Measurement]) -> dict[str, Mapping[str, Any]]:
    """Return the newest accuracy by data set, in the order of their times."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in sorted(measured, key=lambda one: (one.created_at, one.id)):
        accuracy = one.figures.get("accuracy")
        if not isinstance(accuracy, Mapping):
            continue
        sha, value = accuracy.get("dataset_sha256"), accuracy.get("map50_95")
        if isinstance(sha, str) and isinstance(value, int | float):
            found.pop(sha, None)
            found[sha] = accuracy
    return found

"""Whether an INT8 artefact is measured on the pictures that it was calibrated on."""

from __future__ import annotations

import re

from sightline_backend.errors import UnknownError
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import ConvertRequest
from sightline_backend.store.records import SHIPPED, Artefact
from sightline_backend.store.store import Store
from sightline_engines.benchmark.dataset import Dataset
from sightline_engines.convert.calibration import spread

_PICTURES = int(ConvertRequest.model_fields["calibration_pictures"].default)
_UNKNOWN = (
    "What INT8 was calibrated on isn't known: if on pictures that it is measured on, its accuracy "
    "is optimistic."
)
_SHIPPED = (
    "INT8 that ships was calibrated on 100 pictures of each of the two sets that the model was "
    "trained on (docs/model.md): on those its accuracy is optimistic."
)


def calibration_notes(
    artefact: Artefact, store: Store, name: str | None, whole: Dataset, measured: Dataset
) -> tuple[str, ...]:
    """Return what to say beside an INT8 artefact's accuracy; nothing of other precisions.

    `measured` are the pictures that are taken of the data set called `name`. The job that made
    the artefact tells what it was calibrated on.
    """
    if artefact.precision != "int8":
        return ()
    origin = _quantised(artefact, store).origin
    made = re.fullmatch(r"job (\d+)", origin)
    if made is None:
        return (_SHIPPED if origin == SHIPPED else _UNKNOWN,)
    try:
        request = JobRecords(store.database).job(int(made[1])).request
    except UnknownError:
        return (_UNKNOWN,)
    if request.get("dataset") != name:
        return ()
    seen = set(spread(whole.paths, int(request.get("calibration_pictures") or _PICTURES)))
    both = len(seen.intersection(measured.paths))
    if not both:
        return ()
    return (
        f"INT8 was calibrated on {both} of the {len(measured.pictures)} pictures that it is "
        "measured on: its accuracy is optimistic.",
    )


def _quantised(artefact: Artefact, store: Store) -> Artefact:
    """Return what was calibrated: an INT8 file may be made of another that is INT8 already."""
    while artefact.made_from_id is not None:
        try:
            source = store.models.artefact(artefact.made_from_id)
        except UnknownError:
            break
        if source.precision != "int8":
            break
        artefact = source
    return artefact

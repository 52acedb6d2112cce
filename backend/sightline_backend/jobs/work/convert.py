"""The job that makes one artefact of a model from another and keeps it beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sightline_backend.datasets import dataset_in_use, find_dataset
from sightline_backend.errors import NotAllowedError, NotPossibleError, UnknownError
from sightline_backend.jobs.requests import ConvertRequest
from sightline_backend.jobs.work.context import JobWork
from sightline_backend.jobs.work.wanted import usable
from sightline_backend.store.locks import in_use
from sightline_backend.store.records import Artefact, Version
from sightline_engines.convert.calibration import unreadable_note
from sightline_engines.convert.checkpoint import CheckpointOptions, export_checkpoint
from sightline_engines.convert.convert import convert
from sightline_engines.convert.options import Converted, ConvertOptions
from sightline_engines.errors import ModelFileError
from sightline_engines.progress import Progress, part
from sightline_engines.types import Format, ModelSpec


def run(request: ConvertRequest, work: JobWork) -> dict[str, Any]:
    """Make what is asked for, compare it with its source and add it to the source's version.

    An artefact of the version that is just that already is returned as it is, unless
    `artefact_id` names what to make it from. Raises SightlineError.
    """
    with dataset_in_use(work.store, request.dataset):
        return _run(request, work)


def _run(request: ConvertRequest, work: JobWork) -> dict[str, Any]:
    started = time.monotonic()
    version = _version(request, work)
    source = _source(request, version)
    wanted = Format(request.format)
    there = _made_before(request, version, source)
    if there is not None and request.artefact_id is None:
        work.report.log(f"Artefact {there.id} is that already; nothing to do.")
        return _result(there, there.parity, ("It was there already.",), started)
    pictures, unreadable = _pictures(request, work)
    notes = list(unreadable)
    progress: Progress = work.report.progress
    with ExitStack() as held:
        held.enter_context(_held(source))
        if source.spec is None:
            source = _exported(request, work, source, part(progress, 0.0, 0.4))
            notes.append(f"Exported from the checkpoint as artefact {source.id}.")
            progress = part(progress, 0.4, 1.0)
            if wanted is Format.ONNX and request.precision == "fp32":
                return _result(source, None, tuple(notes), started)
            held.enter_context(_held(source))
        made = _converted(request, work, source, pictures, progress)
        kept = work.store.models.add_artefact(
            source,
            made.spec,
            made_from_id=source.id,
            origin=f"job {work.job_id}",
            parity=made.parity.to_dict() if made.parity else None,
        )
    work.report.log(f"Kept as artefact {kept.id}, {kept.size_bytes / 1e6:.1f} MB.")
    return _result(kept, kept.parity, (*notes, *made.notes), started)


@contextmanager
def _held(source: Artefact) -> Iterator[None]:
    """Keep what is converted, a checkpoint too, from being deleted during the block."""
    with ExitStack() as held:
        try:
            held.enter_context(in_use(source.path))
        except FileNotFoundError as error:
            raise ModelFileError(f"The file of artefact {source.id} is gone.") from error
        yield


def _converted(
    request: ConvertRequest,
    work: JobWork,
    source: Artefact,
    pictures: Sequence[Path],
    progress: Progress,
) -> Converted:
    options = ConvertOptions(
        format=Format(request.format),
        precision=request.precision,
        input_size_wh=request.input_size_wh,
        max_batch=request.max_batch,
        opset=request.opset,
        calibration_pictures=request.calibration_pictures,
        timing_cache=work.store.folder / "tensorrt.cache",
    )
    spec = _runnable(source)
    work.report.log(
        f"Making {options.format} {options.precision} of artefact {source.id} "
        f"({source.format} {source.precision}), {len(pictures)} pictures at hand."
    )
    made = convert(spec, options, pictures, work.folder / "made", progress)
    if made.parity is not None:
        work.report.log(
            f"Compared on {made.parity.pictures} pictures: {made.parity.agreeing:.1%} of the boxes "
            f"agree, {made.parity.least_agreeing:.1%} must."
        )
    for note in made.notes:
        work.report.log(note)
    return made


def _exported(
    request: ConvertRequest, work: JobWork, checkpoint: Artefact, progress: Progress
) -> Artefact:
    """Return the ONNX of a checkpoint, opened in a walled child process."""
    if not work.settings.allow_pickle:
        raise NotAllowedError(
            "The model's only file is a PyTorch checkpoint, a pickle, which can run code when it "
            "is opened. Upload its ONNX, or set SIGHTLINE_ALLOW_PICKLE=true on the server."
        )
    options = CheckpointOptions(
        input_size_wh=request.input_size_wh,
        opset=request.opset,
        labels=tuple(request.labels or ()),
        max_bytes=work.settings.max_model_bytes,
    )
    folder = work.folder / "exported"
    folder.mkdir()
    work.report.log(f"Exporting artefact {checkpoint.id} to ONNX, opset {request.opset}.")
    made = export_checkpoint(checkpoint.path, options, folder, progress)
    return work.store.models.add_artefact(
        checkpoint, made, made_from_id=checkpoint.id, origin=f"job {work.job_id}"
    )


def _version(request: ConvertRequest, work: JobWork) -> Version:
    model = work.store.models.model(request.model)
    number = request.version
    if number is None and request.artefact_id is not None:
        number = work.store.models.artefact(request.artefact_id).version
    if number is None and model.active is not None:
        number = model.active.version
    versions = [v for v in model.versions if number in (None, v.number)]
    if not versions:
        known = ", ".join(str(v.number) for v in model.versions) or "none"
        raise UnknownError(f"{request.model} has no version {number}; there are {known}.")
    return versions[0]


def _source(request: ConvertRequest, version: Version) -> Artefact:
    """Return what to start from: what was named, else the ONNX in fp32, any ONNX, the .pt."""
    if request.artefact_id is not None:
        named = [a for a in version.artefacts if a.id == request.artefact_id]
        if not named:
            raise UnknownError(
                f"Version {version.number} of {request.model} has no artefact "
                f"{request.artefact_id}."
            )
        return named[0]
    files = [a for a in version.artefacts if a.format is Format.ONNX]
    files.sort(key=lambda a: (a.precision != "fp32", a.made_from_id is not None, a.id))
    found = next(iter([*files, *(a for a in version.artefacts if a.format is Format.TORCH)]), None)
    if found is None:
        raise NotPossibleError(
            f"Version {version.number} of {request.model} has neither an ONNX file nor a "
            "checkpoint to convert. Upload its ONNX as a new version."
        )
    return found


def _made_before(request: ConvertRequest, version: Version, source: Artefact) -> Artefact | None:
    """Return the newest artefact that already is what is asked for."""
    size_wh = request.input_size_wh or (source.spec.input_size_wh if source.spec else None)
    for artefact in usable(version, request.dataset):
        spec = artefact.spec
        kind = (artefact.format, artefact.precision)
        if spec is None or kind != (Format(request.format), request.precision):
            continue
        if artefact.format is Format.TENSORRT and not _fits_here(spec, request.max_batch):
            continue
        if size_wh in (None, spec.input_size_wh):
            return artefact
    return None


def _fits_here(spec: ModelSpec, max_batch: int) -> bool:
    """Tell whether a plan was built for this machine and so large a batch."""
    from sightline_engines.passport_check import passport_problem

    passport = spec.passport
    return passport is not None and (
        passport.max_batch >= max_batch and passport_problem(spec) is None
    )


def _pictures(request: ConvertRequest, work: JobWork) -> tuple[Sequence[Path], tuple[str, ...]]:
    """Return the data set's pictures, and a note on those of it that can't be read."""
    if request.dataset is None:
        return (), ()
    dataset = find_dataset(work.store, work.settings.data_dir, request.dataset)
    count = len(dataset.pictures) + len(dataset.missing)
    notes = unreadable_note(dataset.missing, count)
    for note in notes:
        work.report.log(note)
    return dataset.paths, notes


def _runnable(artefact: Artefact) -> ModelSpec:
    if artefact.spec is None:
        raise NotPossibleError(f"Artefact {artefact.id} is a checkpoint, which can't run.")
    return artefact.spec


def _result(
    artefact: Artefact, parity: dict[str, Any] | None, notes: tuple[str, ...], started: float
) -> dict[str, Any]:
    return {
        "artefact_id": artefact.id,
        "format": str(artefact.format),
        "precision": artefact.precision,
        "parity": parity,
        "notes": list(notes),
        "seconds": round(time.monotonic() - started, 2),
    }

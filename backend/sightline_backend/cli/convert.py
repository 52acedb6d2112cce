"""`sightline convert`: an artefact of another format or precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sightline_backend.cli.console import plain_errors, stderr, stdout

if TYPE_CHECKING:
    from sightline_backend.jobs.job import Job
    from sightline_backend.settings import Settings
    from sightline_backend.store.store import Store

_CHECKPOINTS = (".pt", ".pth")


def convert(  # noqa: PLR0913, PLR0917  one a command-line option
    model: Annotated[str, typer.Argument(help="A model's name, or a file.")],
    format: Annotated[  # the option's name
        Literal["onnx", "openvino", "tensorrt"], typer.Option(help="What to make.")
    ],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="How figures are kept.")
    ] = "fp32",
    version: Annotated[
        int | None, typer.Option(help="Of the model; what serves if not given.")
    ] = None,
    input_size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT, such as 320x320; the source's if not given.")
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Most pictures a call of a TensorRT plan.")] = 8,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set with pictures for INT8 and for the comparison: name or folder."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Class names by commas, for a .pt that has none.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for what is made of a file; here if not given.")
    ] = None,
) -> None:
    """Make an artefact of another format or precision, and compare it with its source.

    What is made of a model goes into its version; what is made of a file into the output folder.
    """
    import tempfile

    from sightline_backend.cli.configuration import read_settings, store
    from sightline_backend.cli.job_runs import named_dataset, request_of, run_job
    from sightline_backend.jobs.requests import ConvertRequest

    settings, dataset = named_dataset(read_settings(), data)
    file = Path(model) if Path(model).suffix.lower() in (".onnx", *_CHECKPOINTS) else None
    size = None if input_size is None else input_size.lower().split("x")
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder, plain_errors():
        used, name = store(), model
        if file is not None:
            used, name = _store_of(file, Path(folder), settings)
            settings = settings.model_copy(update={"models_dir": used.folder, "database_url": None})
        request = request_of(
            ConvertRequest,
            model=name,
            version=version,
            format=format,
            precision=precision,
            input_size_wh=size,
            max_batch=max_batch,
            dataset=dataset,
            labels=None if labels is None else [one.strip() for one in labels.split(",")],
        )
        job = run_job(used, "convert", request, settings, kept=file is None)
        _say_made(used, job, None if file is None else (output or Path(), file.stem))


def _store_of(file: Path, folder: Path, settings: Settings) -> tuple[Store, str]:
    """Return a store in a temporary folder that holds a file, and the name that it has there."""
    from sightline_backend.errors import NameTakenError
    from sightline_backend.models.names import name_from
    from sightline_backend.store.store import open_store

    store, name = open_store(folder), name_from(file.stem)
    try:
        store.models.refuse_taken(name)
    except NameTakenError:  # a copy of the shipped model, which is in every store
        name = "model"
    if file.suffix.lower() in _CHECKPOINTS:
        store.models.add_checkpoint(file, name, allow_pickle=settings.allow_pickle)
    else:
        store.models.add(file, name)
    return store, name


def _say_made(store: Store, job: Job, out: tuple[Path, str] | None) -> None:
    """Say what was made, and where it is; copy it out of a temporary store."""
    import shutil
    from dataclasses import replace

    from sightline_engines.sidecar import write_sidecar

    result = job.result or {}
    artefact = store.models.artefact(result["artefact_id"])
    path = artefact.path
    if out is not None:
        folder, name = out
        folder.mkdir(parents=True, exist_ok=True)
        # With the format: a sidecar is found by its file's stem, which two may not share.
        path = folder / f"{name}-{artefact.format}-{artefact.precision}{artefact.path.suffix}"
        shutil.copyfile(artefact.path, path)
        if artefact.path.suffix == ".xml":
            shutil.copyfile(artefact.path.with_suffix(".bin"), path.with_suffix(".bin"))
        if artefact.spec is not None:  # what the file itself doesn't say of labels and the like
            write_sidecar(replace(artefact.spec, path=path, name=path.stem))
    for note in result.get("notes", ()):
        stderr.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    parity = result.get("parity")
    if parity:
        said = (
            f"{parity['agreeing']:.1%} of {parity['boxes']} boxes agree with the source's, "
            f"on {parity['pictures']} pictures"
        )
        stderr.print(said, markup=False, soft_wrap=True)
    shown = str(path) if out is not None else f"{artefact.id}\t{path}"
    stdout.print(shown, markup=False, soft_wrap=True)

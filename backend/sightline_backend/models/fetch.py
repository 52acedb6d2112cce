"""Bring a model of the catalogue into the store."""

from __future__ import annotations

from sightline_backend.models.catalogue import CatalogueModel
from sightline_backend.models.download import Patience, Progress, Wanted, download
from sightline_backend.store.models import ModelStore
from sightline_engines.types import ModelSpec


def fetch(
    entry: CatalogueModel, store: ModelStore, progress: Progress, patience: Patience | None = None
) -> ModelSpec:
    """Download, check and add a model; blocks.

    Raises DownloadError, NameTakenError, or ModelFileError for what is no model.
    """
    store.refuse_taken(entry.name)
    file = store.folder / ".partial" / f"{entry.name}.onnx"
    wanted = Wanted(entry.url, entry.size_bytes, entry.sha256)
    download(wanted, file, progress, patience)
    try:
        return store.add(file, entry.name, licence=entry.licence, source=entry.url)
    finally:
        file.unlink()

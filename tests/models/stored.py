"""What lies in a store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sightline_backend.store.models import ModelStore
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store
from sightline_engines.types import ModelSpec


def files(store: ModelStore) -> list[str]:
    """Return the names of all stored files, databases and locks apart."""
    return sorted(p.name for p in store.folder.glob("files/*/*"))


def pair(folder: Path, spec: ModelSpec, content: bytes = b"weights") -> ModelSpec:
    """Return a made-up OpenVINO pair, as a conversion leaves one in its own folder."""
    folder.mkdir(parents=True)
    (folder / "model.xml").write_bytes(b"<net/>")
    (folder / "model.bin").write_bytes(content)
    return replace(spec, path=folder / "model.xml", precision="int8", sha256="")


def first(store: Store, name: str) -> Artefact:
    """Return a model's first artefact."""
    return store.models.model(name).versions[0].artefacts[0]

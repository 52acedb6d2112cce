"""Artefacts on their way out: as they are, or as a zip that is made while it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from sightline_backend.store.records import Artefact
from sightline_engines.types import Format

CHUNK_BYTES = 2**20


class _Sink:
    """What a zip is written to, until it is taken away."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        """Keep some bytes."""
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: it is all there."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


def zipped(files: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    """Return the parts of a zip that holds files under names of their own, uncompressed."""
    sink = _Sink()
    with ZipFile(cast(IO[bytes], sink), "w", ZIP_STORED) as archive:
        for name, path in files:
            info = ZipInfo.from_file(path, name)
            with archive.open(info, "w", force_zip64=True) as target, path.open("rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield sink.take()
    yield sink.take()


def download_name(artefact: Artefact) -> str:
    """Return what a downloaded artefact is called; a model's name is safe anywhere."""
    stem = f"{artefact.model}-v{artefact.version}-{artefact.precision}"
    return stem + (".zip" if artefact.format is Format.OPENVINO else artefact.path.suffix)


def download_files(artefact: Artefact) -> Iterator[bytes]:
    """Return the parts of a file; of OpenVINO's pair, those of a zip of both."""
    if artefact.format is Format.OPENVINO:
        stem = download_name(artefact).removesuffix(".zip")
        weights = artefact.path.with_suffix(".bin")
        yield from zipped([(f"{stem}.xml", artefact.path), (f"{stem}.bin", weights)])
        return
    with artefact.path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk

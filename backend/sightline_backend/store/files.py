"""The files of models, named by what is in them, each whole from the moment it is seen.

FOLDER/files/ab/<sha256>.onnx        one artefact; .pt and .plan likewise
             ab/<sha256>.xml, .bin   OpenVINO's pair; the hash is of the one and then the other
             ab/<sha256>.about.json  what it is, so that a lost database can be made again
FOLDER/.incoming-…                   what is being written; swept once its process has ended
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sightline_backend.errors import InUseError, StoreError
from sightline_backend.store.locks import in_use, locked, unused
from sightline_engines.errors import ModelFileError
from sightline_engines.types import Format, format_of

_SUFFIX = {
    Format.TORCH: ".pt",
    Format.ONNX: ".onnx",
    Format.OPENVINO: ".xml",
    Format.TENSORRT: ".plan",
}
_NAMED = re.compile(r"([0-9a-f]{64})\..+")
_INCOMING = ".incoming-"
SETTLED_S = 86_400.0 if sys.platform == "win32" else 10.0  # where there are no locks, by age alone


class Files:
    """The store's folder as a place for files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str, kind: Format) -> Path:
        """Return where a file lies, or would."""
        return self.folder / "files" / sha256[:2] / f"{sha256}{_SUFFIX[kind]}"

    def about_path(self, sha256: str) -> Path:
        """Return where it says what a file is."""
        return self.folder / "files" / sha256[:2] / f"{sha256}.about.json"

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Give a folder to write in, gone at the block's end; raises StoreError.

        An OSError of the block that the disk is to blame for becomes a StoreError.
        """
        with self._blaming_disk():
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.folder))
            try:
                with in_use(folder):
                    yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def stage(self, source: Path, sha256: str, incoming: Path, *, move: bool) -> Path:
        """Copy or move a file, and what belongs to it, into a folder of `incoming`.

        What somebody is writing in such a folder is moved in any case. Raises ModelFileError if
        it isn't the file that was hashed.
        """
        staged = incoming / f"staged{source.suffix.lower()}"
        put = shutil.move if move or source.parent.name.startswith(_INCOMING) else shutil.copyfile
        for one in parts(source):
            put(one, staged.with_suffix(one.suffix.lower()))
        for one in parts(staged):
            _sync(one)
        if digest(staged) != sha256:
            raise ModelFileError(f"{source} changed while it was read. Add it again.")
        return staged

    @contextmanager
    def placed(self, staged: Path, sha256: str, kind: Format) -> Iterator[Path]:
        """Move a staged file to its place and keep it from being removed during the block.

        If the same is there, that one is kept, unless it is damaged.
        """
        target = self.path(sha256, kind)
        with self._blaming_disk(), ExitStack() as held:
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.folder):  # two who add the same file: one places it
                if not (is_whole(target, sha256) and _held(target, held)):
                    held.enter_context(in_use(staged))
                    for one in parts(staged):  # model.bin first: model.xml says that both are here
                        one.replace(target.with_suffix(one.suffix))
                    _sync(target.parent)
            yield target

    def delete(self, sha256: str, kind: Format) -> None:
        """Delete a file and what belongs to it; the caller has made sure that it is unused."""
        path = self.path(sha256, kind)
        for one in (self.about_path(sha256), path, path.with_suffix(".bin")):
            if one.suffix != ".bin" or kind is Format.OPENVINO:
                one.unlink(missing_ok=True)
        with suppress(OSError):  # others lie there
            path.parent.rmdir()

    def all(self) -> Sequence[tuple[str, Path]]:
        """Return every file of the store with its hash."""
        found = sorted(self.folder.glob("files/[0-9a-f][0-9a-f]/*"))
        named = [(_NAMED.fullmatch(path.name), path) for path in found]
        return [(match[1], path) for match, path in named if match is not None]

    def sweep(self) -> Sequence[str]:
        """Delete what uploads left whose process has ended; returns the folders' names."""
        swept = []
        for folder in sorted(self.folder.glob(f"{_INCOMING}*")):
            with suppress(InUseError, OSError):
                if time.time() - folder.stat().st_mtime > SETTLED_S:
                    with unused(folder):
                        shutil.rmtree(folder, ignore_errors=True)
                        swept.append(folder.name)
        return swept

    @contextmanager
    def _blaming_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _disk_error(self.folder, error) from error


def parts(path: Path) -> Sequence[Path]:
    """Return the files that make up a model file, the one that names it last."""
    if format_of(path) is Format.OPENVINO:
        return (path.with_suffix(".bin"), path)
    return (path,)


def digest(path: Path) -> str:
    """Return a model file's SHA-256: of model.xml and then model.bin for OpenVINO."""
    hashed = hashlib.sha256()
    for one in reversed(parts(path)):
        with one.open("rb") as file:
            while chunk := file.read(2**20):
                hashed.update(chunk)
    return hashed.hexdigest()


def size_of(path: Path) -> int:
    """Return a model file's bytes, of both files for OpenVINO."""
    return sum(one.stat().st_size for one in parts(path))


def is_whole(path: Path, sha256: str) -> bool:
    """Tell whether a file is there with the content that it should have."""
    try:
        return digest(path) == sha256
    except OSError:
        return False


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that nobody ever sees half of it."""
    own = f"{os.getpid()}-{threading.get_ident()}"
    part = path.with_name(f"{path.name}.{own}.part")  # `scan` sweeps what a crash leaves
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync(path.parent)


def _held(path: Path, held: ExitStack) -> bool:
    try:
        held.enter_context(in_use(path))
    except FileNotFoundError:  # removed since it was looked at
        return False
    return True


def _sync(path: Path) -> None:
    """Have the disk hold a file or folder before what follows."""
    if sys.platform == "win32" and path.is_dir():
        return  # folders can't be opened there
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_error(folder: Path, error: OSError) -> StoreError:
    said = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError(f"There is no room in {folder} ({said}). Nothing was kept; make room.")
    return StoreError(
        f"The folder {folder} can't be written: {said}. Make it writable for this user, or name "
        "another one in SIGHTLINE_MODELS_DIR."
    )

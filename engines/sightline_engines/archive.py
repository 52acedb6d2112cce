"""Unpack a zip file that anybody may have made: everything counted, every name checked."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, ClassVar

from sightline_engines.errors import SightlineError

_CHUNK = 2**20
_END, _END64_PLACE, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_LISTED, _HEAD_BYTES = b"PK\x01\x02", 46  # of a member in the listing, before its name
_LISTING_BYTES = 400  # of a member, on average and generously
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others decompress without bounds
_ENCRYPTED = 0x1
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
)


class ArchiveError(SightlineError):
    """An archive is damaged, hostile or too large."""

    code: ClassVar[str] = "bad_archive"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Most that an archive may hold."""

    members: int = 100_000
    total_bytes: int = 4 * 2**30  # unpacked
    member_bytes: int = 2**30
    ratio: int = 200  # unpacked to packed, of a member larger than a MB; text reaches about 20
    depth: int = 12  # of folders
    name_bytes: int = 255  # of one part of a path


def unpack(archive: Path, folder: Path, limits: ArchiveLimits) -> None:
    """Write an archive's files into a new folder, all of them or none.

    `folder` doesn't exist yet, its parent does. Raises ArchiveError; memory stays flat.
    """
    if folder.exists():
        raise ArchiveError(f"The folder {folder.name} is there already.")
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with archive.open("rb") as file:
            check_listing(file, limits, archive.name)
            with zipfile.ZipFile(file) as opened:
                members = _checked(opened.infolist(), limits, archive.name)
                written = 0
                for info, path in members:
                    room = min(limits.member_bytes, limits.total_bytes - written)
                    written += _write(opened, info, part / path, room)
        part.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise ArchiveError(f"{archive.name} is damaged, or no zip file: {error}.") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise ArchiveError(f"{archive.name} is damaged: {error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def safe_path(name: str, limits: ArchiveLimits) -> PurePosixPath:
    """Return a member's path below the folder; raises ArchiveError for one that could leave it."""
    parts = name.removesuffix("/").split("/")
    odd = [char for char in name if not char.isprintable()]  # NUL, line ends, turned writing
    if odd or "\\" in name or ":" in name or name.startswith("/"):
        raise ArchiveError(f"The archive has a member with the name {name[:200]!r}.")
    if len(parts) > limits.depth:
        raise ArchiveError(f"The archive has folders more than {limits.depth} deep.")
    for part in parts:
        device = part.partition(".")[0].strip().casefold() in _WINDOWS_DEVICES
        if part in ("", ".", "..") or part[-1] in ". " or part[0] == " " or device:
            raise ArchiveError(f"The archive has a member with the name {name[:200]!r}.")
        try:
            long = len(part.encode()) > limits.name_bytes
        except UnicodeEncodeError as error:
            raise ArchiveError(f"The archive has a member with the name {name[:200]!r}.") from error
        if long:
            raise ArchiveError(f"The archive has a name of more than {limits.name_bytes} bytes.")
    return PurePosixPath(*parts)


def _checked(
    infos: Iterable[zipfile.ZipInfo], limits: ArchiveLimits, name: str
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Check everything that the listing says, before a byte is written."""
    members: list[tuple[zipfile.ZipInfo, PurePosixPath]] = []
    seen: dict[str, bool] = {}  # path without case, and whether it is a folder
    total = 0
    for info in infos:
        path = safe_path(info.orig_filename, limits)
        _check_member(info, limits)
        total += info.file_size
        if len(members) >= limits.members:
            raise ArchiveError(f"{name} has more than {limits.members} members.")
        if total > limits.total_bytes:
            raise ArchiveError(f"{name} holds more than {limits.total_bytes} bytes unpacked.")
        _check_clash(path, info.is_dir(), seen)
        members.append((info, path))
    _check_overlaps([info for info, _ in members], name)
    return members


def _check_member(info: zipfile.ZipInfo, limits: ArchiveLimits) -> None:
    called = repr(info.orig_filename[:200])
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"The member {called} is a link or a device; only files are accepted.")
    if kind == stat.S_IFDIR and not info.is_dir():
        raise ArchiveError(f"The member {called} says it is a folder, and has a file's name.")
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"The member {called} is encrypted.")
    if info.compress_type not in _METHODS:
        raise ArchiveError(f"The member {called} is packed by another method than deflate.")
    if info.file_size > limits.member_bytes or (info.is_dir() and info.file_size):
        raise ArchiveError(f"The member {called} has {info.file_size} bytes, which is too many.")
    if info.file_size > max(_CHUNK, limits.ratio * info.compress_size):
        raise ArchiveError(
            f"The member {called} unpacks to more than {limits.ratio} times its size."
        )


def _check_clash(path: PurePosixPath, is_folder: bool, seen: dict[str, bool]) -> None:
    """Refuse two members that are one file on some file system, and files used as folders."""
    folders = [str(parent) for parent in path.parents if parent.name]
    for key in (_plain(folder) for folder in folders):
        if not seen.setdefault(key, True):
            raise ArchiveError(f"The archive has {str(path)!r} below a file.")
    key = _plain(str(path))
    if key in seen and not (is_folder and seen[key]):
        raise ArchiveError(f"The archive has {str(path)!r} twice, if case doesn't count.")
    seen[key] = is_folder


def _plain(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _check_overlaps(infos: list[zipfile.ZipInfo], name: str) -> None:
    """Refuse members that share their packed bytes, as a bomb's do."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ArchiveError(f"{name} has members that lie in each other.")
        header = 30 + len(info.orig_filename)  # the least: a character has a byte or more
        end = info.header_offset + header + info.compress_size


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, room: int) -> int:
    """Write one member and return its size, counted as it is unpacked; its CRC is checked."""
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with opened.open(info) as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > room:
                raise ArchiveError(f"{info.orig_filename!r} holds more than it says.")
            file.write(chunk)
    if size != info.file_size:
        raise ArchiveError(f"{info.orig_filename!r} holds {size} bytes, not {info.file_size}.")
    return size


def check_listing(file: IO[bytes], limits: ArchiveLimits, name: str) -> None:
    """Refuse a listing too long to be read, before Python's zipfile keeps an object of each member.

    Its members are counted, as what the file's end says of their number need not be true.
    """
    length = file.seek(0, os.SEEK_END)
    start = max(0, length - 65_557)
    file.seek(start)
    tail = file.read()
    place = len(tail) - 22  # with no comment behind it; where Python's zipfile looks first
    if place < 0 or not (tail[place:].startswith(_END) and tail.endswith(b"\0\0")):
        place = tail.rfind(_END)
    if place < 0 or len(tail) - place < 22:
        raise ArchiveError(f"{name} is no zip file, or not all of it.")
    size = int(struct.unpack_from("<L", tail, place + 12)[0])
    end = start + place
    if tail[max(0, place - 20) :].startswith(_END64_PLACE):
        record = tail[max(0, place - 76) :]  # right before it, where zipfile looks
        if not record.startswith(_END64):
            raise ArchiveError(f"{name} is damaged: its listing isn't where it says.")
        end -= 76
        size = int(struct.unpack_from("<Q", record, 40)[0])  # whatever the short one says
    too_many = size > limits.members * _LISTING_BYTES
    if too_many or _listed(file, end - size, end, limits.members) > limits.members:
        raise ArchiveError(f"{name} has more than {limits.members} members.")
    file.seek(0)


def _listed(file: IO[bytes], start: int, end: int, most: int) -> int:
    """Return how many members a listing has, counted up to one more than there may be."""
    count, place = 0, max(0, start)
    while place < end and count <= most:
        file.seek(place)
        head = file.read(_HEAD_BYTES)
        if not head.startswith(_LISTED) or len(head) < _HEAD_BYTES:
            break  # damaged: zipfile says so
        place += _HEAD_BYTES + sum(struct.unpack_from("<3H", head, 28))
        count += 1
    return count

"""Fetch a file whose size and hash are known: resumed, bounded, and seen only when right."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sightline_engines.errors import SightlineError

Progress = Callable[[int, int], None]  # bytes there, bytes expected

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WORTH_BYTES = 2**16  # an attempt that brought less was in vain: it bounds their number
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(SightlineError):
    """A file could not be fetched, or is not what it should be."""

    code = "download_failed"


class _TryAgainError(Exception):
    """This attempt failed in a way that another may not."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download is kept up."""

    stall_s: float = 20.0  # silence after which the connection is given up
    attempts: int = 5  # in a row that brought next to nothing
    backoff_s: float = 0.5  # before the second attempt; doubles up to 8 s
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is fetched, and how to know that it is right."""

    url: str
    size_bytes: int
    sha256: str


def download(
    wanted: Wanted, target: Path, progress: Progress, patience: Patience | None = None
) -> None:
    """Fetch a file to `target`, which appears complete and checked or not at all.

    What has come is kept beside it as `.part` and resumed by the next call. Blocks; raises
    DownloadError.
    """
    patience = patience or Patience()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    timeout = httpx.Timeout(patience.stall_s)
    with httpx.Client(timeout=timeout, headers={"Accept-Encoding": "identity"}) as client:
        _fetch_all(client, wanted, part, progress, patience)
    _check_hash(wanted, part)
    part.replace(target)
    _tag_path(part).unlink(missing_ok=True)


def _fetch_all(
    client: httpx.Client, wanted: Wanted, part: Path, progress: Progress, patience: Patience
) -> None:
    """Attempt until the part file has its full size."""
    fruitless = 0
    while True:
        had = _size(part)
        try:
            _attempt(client, wanted, part, progress, patience)
            return
        except (httpx.TransportError, _TryAgainError) as error:
            fruitless = 0 if _size(part) >= had + _WORTH_BYTES else fruitless + 1
            if fruitless >= patience.attempts:
                came = _size(part)
                kept = f"; the {came:,} bytes that came are kept" if came else ""
                raise DownloadError(
                    f"{wanted.url} could not be fetched: {_reason(error)} "
                    f"({patience.attempts} attempts). Check the connection and try again{kept}."
                ) from error
            time.sleep(min(patience.backoff_s * 2**fruitless, 8.0))


def _attempt(
    client: httpx.Client, wanted: Wanted, part: Path, progress: Progress, patience: Patience
) -> None:
    """Fetch what is missing of the part file in one request."""
    had, tag = _size(part), _read_tag(part)
    if had == wanted.size_bytes:
        return
    if had > wanted.size_bytes or not tag:
        had = 0
    asked = {"Range": f"bytes={had}-", "If-Range": tag} if had else {}
    with _follow(client, wanted.url, asked, patience.redirects) as response:
        if response.status_code == 416:
            _forget(part)
            raise _TryAgainError("the server holds less than was there already")
        if response.status_code in _WORTH_ANOTHER_TRY:
            raise _TryAgainError(f"the server answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise DownloadError(
                f"{wanted.url} could not be fetched: the server answered {response.status_code} "
                f"{response.reason_phrase}. The file may have moved; look for a newer Sightline."
            )
        if response.status_code == 206 and not _continues(response, had):
            _forget(part)
            raise _TryAgainError("the server sent another part than was asked for")
        start = had if response.status_code == 206 else 0
        _check_length(response, wanted, start)
        _write_tag(part, response.headers.get("ETag", ""))
        _receive(response, wanted, part, start, progress)
    if _size(part) < wanted.size_bytes:
        raise _TryAgainError("the connection ended early")


@contextmanager
def _follow(
    client: httpx.Client, url: str, headers: dict[str, str], redirects: int
) -> Iterator[httpx.Response]:
    """Open an address, following a few redirects, each to HTTPS (HTTP only on this machine)."""
    at = httpx.URL(url)
    for _ in range(redirects + 1):
        if not _is_allowed(at, from_here=_is_loopback(httpx.URL(url))):
            raise DownloadError(
                f"{url} leads to {at}, which is not fetched: only https addresses are."
            )
        with client.stream("GET", at, headers=headers) as response:
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                yield response
                return
            at = at.join(response.headers["Location"])
    raise DownloadError(f"{url} was redirected more than {redirects} times; is the address right?")


def _is_allowed(url: httpx.URL, *, from_here: bool) -> bool:
    return url.scheme == "https" or (url.scheme == "http" and from_here and _is_loopback(url))


def _is_loopback(url: httpx.URL) -> bool:
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def _continues(response: httpx.Response, had: int) -> bool:
    said: str = response.headers.get("Content-Range", "")
    return said.startswith(f"bytes {had}-")


def _check_length(response: httpx.Response, wanted: Wanted, start: int) -> None:
    """Refuse at once what announces another size than the file's."""
    said = response.headers.get("Content-Length", "")
    if said.isdigit() and start + int(said) != wanted.size_bytes:
        raise DownloadError(
            f"{wanted.url} holds {start + int(said):,} bytes instead of {wanted.size_bytes:,}: "
            "it is another file than the catalogue means. Nothing was kept."
        )


def _receive(
    response: httpx.Response, wanted: Wanted, part: Path, start: int, progress: Progress
) -> None:
    """Append a response to the part file; never more than the file's size."""
    there = start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        for chunk in response.iter_raw():
            there += len(chunk)
            if there > wanted.size_bytes:
                break
            file.write(chunk)
            progress(there, wanted.size_bytes)
        file.flush()
        os.fsync(file.fileno())
    if there > wanted.size_bytes:
        _forget(part)
        raise DownloadError(
            f"{wanted.url} sends more than its {wanted.size_bytes:,} bytes: it is another file "
            "than the catalogue means. Nothing was kept."
        )


def _check_hash(wanted: Wanted, part: Path) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.sha256:
        _forget(part)
        raise DownloadError(
            f"{wanted.url} is not the file it should be: its SHA-256 is {found}, expected "
            f"{wanted.sha256}. Nothing was kept; try again, and if it stays so, report it."
        )


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "the server fell silent"
    return str(error) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _read_tag(part: Path) -> str:
    """Return the strong ETag that the part file began with; "" if it can't be continued."""
    path = _tag_path(part)
    return path.read_text(encoding="ascii") if path.exists() else ""


def _write_tag(part: Path, tag: str) -> None:
    strong = tag if tag.startswith('"') and tag.isascii() and tag.isprintable() else ""
    _tag_path(part).write_text(strong, encoding="ascii")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_path(part).unlink(missing_ok=True)

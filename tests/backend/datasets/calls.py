"""A small data set, and calls that a client makes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import httpx
import numpy as np


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def files(prefix: str = "") -> dict[str, bytes]:
    """Return the smallest data set there is."""
    picture = cv2.imencode(".png", np.zeros((20, 40, 3), np.uint8))[1].tobytes()
    return {
        f"{prefix}images/a.png": picture,
        f"{prefix}labels/a.txt": b"0 0.5 0.5 0.5 0.5\n",
        f"{prefix}classes.txt": b"person\n",
    }


def write(folder: Path) -> None:
    """Write it into a folder."""
    for name, content in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


async def names(http: httpx.AsyncClient) -> list[str]:
    """Return the names that are listed."""
    return [row["name"] for row in (await http.get("/api/datasets")).json()]


async def added(http: httpx.AsyncClient, name: str = "people") -> None:
    """Upload it."""
    answer = await http.post("/api/datasets", params={"name": name}, content=zipped(files()))
    assert answer.status_code == 201, answer.text

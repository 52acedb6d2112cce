"""Well-known models under Apache, BSD or MIT licences, at their authors' own addresses.

The release they come from publishes no hashes. Sizes and SHA-256 are those that several
independent projects recorded for the same addresses, so a file that was swapped since is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from sightline_engines.errors import ModelFileError

_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model that can be fetched."""

    name: str
    about: str
    licence: str
    url: str
    size_bytes: int
    sha256: str


CATALOGUE = (
    CatalogueModel(
        name="yolox-nano",
        about="80 COCO classes at 416x416, the smallest; 25.8 mAP by its authors",
        licence="Apache-2.0",
        url=f"{_YOLOX}/yolox_nano.onnx",
        size_bytes=3_659_407,
        sha256="c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
    ),
    CatalogueModel(
        name="yolox-tiny",
        about="80 COCO classes at 416x416; 32.8 mAP by its authors",
        licence="Apache-2.0",
        url=f"{_YOLOX}/yolox_tiny.onnx",
        size_bytes=20_219_662,
        sha256="427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7",
    ),
    CatalogueModel(
        name="yolox-s",
        about="80 COCO classes at 640x640, the most accurate here; 40.5 mAP by its authors",
        licence="Apache-2.0",
        url=f"{_YOLOX}/yolox_s.onnx",
        size_bytes=35_858_002,
        sha256="c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063",
    ),
)


def catalogue_model(name: str) -> CatalogueModel:
    """Return an entry by name; raises ModelFileError listing the names there are."""
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in CATALOGUE)
    raise ModelFileError(
        f"The catalogue has no {name[:80]!r}; it has {known}. "
        "Your own file is added with: sightline models add FILE.onnx"
    )

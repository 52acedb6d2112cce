"""Read an OpenVINO IR, model.xml and model.bin, as nothing but an untrusted pair of files.

The .xml is read by OpenVINO's own parser, so what it may say is checked first: operators of
OpenVINO's own sets alone, weights inside the .bin, and no name of another file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from sightline_engines.errors import ModelFileError

_MOST_XML_BYTES = 256 * 2**20
_NAMES_FILES = frozenset({"path", "file", "filename", "location", "library", "weights_path"})


def ir_digest(xml: Path) -> str:
    """Return the SHA-256 over an IR's .xml and then its .bin, in hexadecimal."""
    digest = hashlib.sha256()
    for part in (xml, xml.with_suffix(".bin")):
        with part.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()


def read_ir(xml: Path, sha256: str) -> tuple[bytes, bytes]:
    """Return what both files hold, once it is the pair that `sha256` was taken of and harmless.

    Raises ModelFileError.
    """
    try:
        if xml.stat().st_size > _MOST_XML_BYTES:
            raise ModelFileError(f"{xml.name} is larger than {_MOST_XML_BYTES // 2**20} MiB.")
        text, weights = xml.read_bytes(), xml.with_suffix(".bin").read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{error.filename} can't be read: {error.strerror}. An OpenVINO model is a pair, "
            f"{xml.name} and {xml.stem}.bin in one folder."
        ) from error
    found = hashlib.sha256(text + weights).hexdigest()
    if found != sha256:
        raise ModelFileError(
            f"{xml.name} and {xml.stem}.bin aren't the pair that was made: their SHA-256 is "
            f"{found[:12]}…, and {sha256[:12] or 'none'}… is known. They are damaged, or one was "
            "replaced; convert the model again."
        )
    check_ir(text, len(weights), xml.name)
    return text, weights


def check_ir(text: bytes, weights_size: int, name: str) -> None:
    """Raise ModelFileError for an .xml that OpenVINO's parser should not be shown."""
    parser = expat.ParserCreate()
    top: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if not top and tag != "net":
            raise ModelFileError(f"{name} begins with <{tag}>; an OpenVINO model is a <net>.")
        top.append(tag)
        named = _NAMES_FILES.intersection([tag.lower(), *(key.lower() for key in attributes)])
        if named:
            raise ModelFileError(
                f"{name} names another file ({', '.join(sorted(named))} in <{tag}>); a model is "
                "its .xml and .bin and nothing else."
            )
        if tag == "layer":
            _check_layer(attributes, name)
        if tag == "data" and "offset" in attributes:
            _check_place(attributes, weights_size, name)

    def doctype(*_: object) -> NoReturn:
        raise ModelFileError(f"{name} has a document type, which no OpenVINO model has.")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ModelFileError(f"{name} is not a readable OpenVINO model: {error}.") from error


def _check_layer(attributes: dict[str, str], name: str) -> None:
    """OpenVINO's own operator sets are opset1, opset2, …; anything else is an extension."""
    version = attributes.get("version", "")
    if not (version.startswith("opset") and version[5:].isdecimal()):
        raise ModelFileError(
            f"{name} has an operator {attributes.get('type', '?')} of '{version}', an extension "
            "of OpenVINO, which is not accepted."
        )


def _check_place(attributes: dict[str, str], weights_size: int, name: str) -> None:
    place = [attributes["offset"], attributes.get("size", "")]
    if not all(value.isdecimal() for value in place) or sum(map(int, place)) > weights_size:
        raise ModelFileError(
            f"{name} looks for weights at {place[0]} + {place[1] or '?'} bytes, and its .bin has "
            f"{weights_size}: the two files don't belong together."
        )

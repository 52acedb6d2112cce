"""Find out what an OpenVINO IR is: the sidecar that was made with it says it, not the file."""

from __future__ import annotations

from pathlib import Path
from xml.parsers import expat

from sightline_engines.errors import ModelFileError
from sightline_engines.irfile import read_ir
from sightline_engines.sidecar import read_sidecar, sidecar_path
from sightline_engines.texts import MOST_LABELS
from sightline_engines.types import Family, ModelSpec, Postprocess, Preprocess

_NEEDED = ("family", "input_size_wh", "labels", "preprocess", "sha256")


def recognise_ir(path: Path) -> ModelSpec:
    """Return what a model.xml with its model.bin is, as `sightline convert` wrote beside it.

    Raises ModelFileError for one without that sidecar, or with that of other files.
    """
    sidecar = read_sidecar(sidecar_path(path))
    lacking = [name for name in _NEEDED if name not in sidecar]
    if lacking or sidecar.get("task", "detect") != "detect":
        raise ModelFileError(
            f"{path.name} needs {sidecar_path(path).name} beside it, the sidecar that `sightline "
            f"convert` writes, with {', '.join(lacking) or 'the task detect'}. Or take the ONNX "
            "file that it was made from."
        )
    if sidecar["family"] not in set(Family) or len(sidecar["labels"]) > MOST_LABELS:
        raise ModelFileError(
            f"The sidecar of {path.name} says a family other than {', '.join(Family)}, or more "
            f"than {MOST_LABELS} labels."
        )
    text, _ = read_ir(path, sidecar["sha256"])
    width, height = sidecar["input_size_wh"]
    return ModelSpec(
        name=sidecar.get("name") or path.stem,
        path=path,
        family=Family(sidecar["family"]),
        input_size_wh=(width, height),
        labels=tuple(sidecar["labels"]),
        version=sidecar.get("version", sidecar["sha256"][:8]),
        precision=sidecar.get("precision", "fp32"),
        static_batch=_batch(text),
        preprocess=Preprocess(**sidecar["preprocess"]),
        postprocess=Postprocess(**sidecar.get("postprocess", {})),
        licence=sidecar.get("licence") or "unknown",
        source=sidecar.get("source", ""),
        sha256=sidecar["sha256"],
        notes=tuple(sidecar.get("notes", ())),
    )


def _batch(text: bytes) -> int | None:
    """Return the batch size that the first input is fixed at, None if it takes any."""
    kind = ""
    shapes: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal kind
        if tag == "layer":
            kind = attributes.get("type", "")
        elif tag == "data" and kind == "Parameter":
            shapes.append(attributes.get("shape", ""))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.Parse(text, True)
    first = shapes[0].partition(",")[0] if shapes else ""
    return int(first) if first.isdecimal() else None

"""The answers of POST /detect: as JSON, CSV, a picture, or as Roboflow's API writes them."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal

from sightline_engines import wire
from sightline_engines.draw import draw_detections
from sightline_engines.picture import encode_jpeg
from sightline_engines.spreadsheet import cell
from sightline_engines.types import Image, Result

Format = Literal["json", "csv", "image", "roboflow"]

CSV_COLUMNS = ("class_id", "class_name", "score", "x1", "y1", "x2", "y2")


def as_json(result: Result, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the object that the live stream also sends, without what only a stream has."""
    whole = wire.result_to_dict(result, labels)
    return {key: whole[key] for key in ("model", "image", "detections", "timings_ms")}


def as_csv(result: Result, labels: tuple[str, ...]) -> str:
    """Return one line a detection below a line of column names."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for row in result.detections.to_dicts(labels):
        name = cell(row["class_name"])
        writer.writerow([row["class_id"], name, row["score"], *row["xyxy"]])
    return text.getvalue()


def as_roboflow(result: Result, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return what `supervision.Detections.from_inference` reads: boxes by their centres."""
    width, height = result.size_wh
    return {
        "time": round(result.timings.total / 1e3, 5),
        "image": {"width": width, "height": height},
        "predictions": [_prediction(row) for row in result.detections.to_dicts(labels)],
    }


def as_image(result: Result, labels: tuple[str, ...], image: Image) -> bytes:
    """Return a JPEG of the picture with its boxes; draws on `image` itself."""
    return encode_jpeg(draw_detections(image, result.detections, labels))


def _prediction(row: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = row["xyxy"]
    return {
        "x": (x1 + x2) / 2,
        "y": (y1 + y2) / 2,
        "width": x2 - x1,
        "height": y2 - y1,
        "confidence": row["score"],
        "class": row["class_name"],
        "class_id": row["class_id"],
    }

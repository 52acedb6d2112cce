"""Draw detections onto a picture, readable at any size."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from sightline_engines.types import Detections, Image

Color = tuple[int, int, int]  # BGR

_GOLDEN = 0.618034  # turns of the colour wheel between classes: neighbours never look alike
_WHITE: Color = (255, 255, 255)
_BLACK: Color = (24, 24, 24)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_PX = 24  # the height of its line at scale 1
_CORNERS = ((1, 1, 180), (-1, 1, 270), (-1, -1, 0), (1, -1, 90))  # where its arc begins, degrees


class Chip(NamedTuple):
    """A title and the rectangle it is written on."""

    left: int
    top: int
    width: int
    height: int
    color: Color
    title: str


def draw_detections(image: Image, detections: Detections, labels: tuple[str, ...]) -> Image:
    """Draw boxes with names and scores into the picture and return it.

    Draws in place where the picture's memory can be written; a picture that is not laid out
    row by row is drawn on a copy and written back, a read-only one is left as it is.
    """
    canvas = image
    if not (image.flags.c_contiguous and image.flags.writeable):
        canvas = np.array(image, order="C")
    text_px = min(max(round(min(image.shape[:2]) / 32), 12), 96)
    line = max(2, round(text_px / 9))
    rows = [
        (box, class_color(class_id), _title(detections, i, labels))
        for i, (box, class_id) in enumerate(
            zip(
                np.rint(detections.xyxy).astype(int).tolist(),
                detections.class_id.tolist(),
                strict=True,
            )
        )
    ]
    for box, color, _ in reversed(rows):  # the best last, on top
        _box(canvas, box, color, line)
    chips: list[Chip] = []
    for box, color, title in rows:  # the best chooses its place first, and is drawn last
        chip = _chip(canvas, color, title, text_px)
        if chip is not None:
            chips.append(_placed(chip, box, canvas, chips))
    for chip in reversed(chips):
        _write(canvas, chip, text_px)
    if canvas is not image and image.flags.writeable:
        image[...] = canvas
        return image
    return canvas


@lru_cache(maxsize=1024)
def class_color(class_id: int) -> Color:
    """Return a class's colour, the same in every picture and run."""
    hue = (0.42 + class_id * _GOLDEN) % 1
    saturation = (0.72, 0.5, 0.95)[class_id % 3]  # hues come close again every 55 classes
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 0.96)
    return round(blue * 255), round(green * 255), round(red * 255)


def _title(detections: Detections, i: int, labels: tuple[str, ...]) -> str:
    class_id = int(detections.class_id[i])
    name = labels[class_id] if class_id < len(labels) else f"class {class_id}"
    track = "" if detections.track_id is None else f" #{detections.track_id[i]}"
    return f"{name}{track} {detections.score[i]:.0%}"


def _box(canvas: Image, box: list[int], color: Color, line: int) -> None:
    """Draw a rectangle with slightly rounded corners."""
    height, width = canvas.shape[:2]
    x1, y1 = max(box[0], 0), max(box[1], 0)
    x2, y2 = min(box[2], width - 1), min(box[3], height - 1)
    radius = min(4 * line, (x2 - x1) // 4, (y2 - y1) // 4)
    if radius < 1:
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, line)
        return
    sides = (
        ((x1 + radius, y1), (x2 - radius, y1)),
        ((x1 + radius, y2), (x2 - radius, y2)),
        ((x1, y1 + radius), (x1, y2 - radius)),
        ((x2, y1 + radius), (x2, y2 - radius)),
    )
    for start, end in sides:
        cv2.line(canvas, start, end, color, line)
    for dx, dy, angle in _CORNERS:
        centre = ((x1 if dx > 0 else x2) + dx * radius, (y1 if dy > 0 else y2) + dy * radius)
        cv2.ellipse(canvas, centre, (radius, radius), angle, 0, 90, color, line, cv2.LINE_AA)


def _chip(canvas: Image, color: Color, title: str, text_px: int) -> Chip | None:
    """Measure a title; None where the picture is too small to write on."""
    height, width = canvas.shape[:2]
    scale, margin = text_px / _FONT_PX, _margin(text_px)
    stroke = _stroke(text_px)
    title = _fitted(title, scale, stroke, width - 2 * margin)
    if not title or text_px + margin > height:
        return None
    chip_width = _text_width(title, scale, stroke) + 2 * margin
    return Chip(0, 0, chip_width, text_px + margin, color, title)


def _placed(chip: Chip, box: list[int], canvas: Image, others: list[Chip]) -> Chip:
    """Put a title above its box, inside or below: the first that covers no other title."""
    height, width = canvas.shape[:2]
    left = min(max(box[0], 0), width - chip.width)
    tops = (box[1] - chip.height, box[1], box[3])
    inside = [top for top in tops if 0 <= top <= height - chip.height] or [0]
    places = [chip._replace(left=left, top=top) for top in inside]
    return next((p for p in places if not any(_overlap(p, o) for o in others)), places[0])


def _write(canvas: Image, chip: Chip, text_px: int) -> None:
    """Write a title on its coloured ground."""
    corner = (chip.left + chip.width - 1, chip.top + chip.height - 1)
    cv2.rectangle(canvas, (chip.left, chip.top), corner, chip.color, cv2.FILLED)
    margin = _margin(text_px)
    origin = (chip.left + margin, chip.top + chip.height - margin // 2 - text_px // 5)
    ink = _BLACK if _is_light(chip.color) else _WHITE
    scale, stroke = text_px / _FONT_PX, _stroke(text_px)
    cv2.putText(canvas, chip.title, origin, _FONT, scale, ink, stroke, cv2.LINE_AA)


def _overlap(a: Chip, b: Chip) -> bool:
    return (
        a.left < b.left + b.width
        and b.left < a.left + a.width
        and a.top < b.top + b.height
        and b.top < a.top + a.height
    )


def _margin(text_px: int) -> int:
    return max(2, text_px // 4)


def _stroke(text_px: int) -> int:
    return max(1, round(text_px / 18))


def _text_width(title: str, scale: float, stroke: int) -> int:
    return int(cv2.getTextSize(title, _FONT, scale, stroke)[0][0])


def _fitted(title: str, scale: float, stroke: int, width: int) -> str:
    """Cut a title until it is no wider than the picture; empty where nothing fits."""
    while title and _text_width(title, scale, stroke) > width:
        title = title[:-1]
    return title


def _is_light(color: Color) -> bool:
    blue, green, red = color
    return 0.114 * blue + 0.587 * green + 0.299 * red > 130

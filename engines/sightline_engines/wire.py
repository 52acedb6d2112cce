"""The wire format of `sightline.v1`: frames and answers as messages, without I/O.

One WebSocket carries one stream. The client sends a binary message per frame and text
messages (JSON) to change settings; the server answers in text.

    client → server   frame (binary)   16-byte header, then the encoded picture
                      settings         {"type": "settings", "conf": 0.4, …}
    server → client   hello            on open, and whenever another model or engine answers
                      settings         the settings now in force
                      result           the answer to one frame
                      dropped          a frame that was not run, and why
                      error            a frame or message that failed, and how to fix it

Every frame is ended by exactly one of result, dropped or error with its `seq`; the client
keeps at most `credits` frames without an end. The header, in network byte order:

    version u8 | flags u8 (0) | age_ms u16 | seq u32 | captured_us u64

`captured_us` is the client's clock and is only echoed. `age_ms` is how old the frame was
when it was sent, so that the server's deadline counts from capture with no common clock.

Frames that are under way when a further `hello` comes get their ends all the same, perhaps from
what answered before: each result names its model and its classes.

`hello` names the stream by 24 random hex digits. A frame's id is these and its `seq` as eight
more: the server's log and traces know it by that name (docs/tracing.md).
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import orjson

from sightline_engines.errors import WireError
from sightline_engines.types import Detections, Result, ServedModel, Timings

SUBPROTOCOL = "sightline.v1"
VERSION = 1
_HEADER = struct.Struct("!BBHIQ")
HEADER_BYTES = _HEADER.size
MAX_AGE_MS = 0xFFFF
_TIMINGS = tuple(Timings.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class FramePacket:
    """A frame as it travels: `payload` is the encoded picture, JPEG as a rule."""

    seq: int
    captured_us: int
    age_ms: int
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client may change while its stream runs; None leaves it as it is.

    `classes` is a list of class names, an empty list meaning all.
    """

    conf: float | None = None
    iou: float | None = None
    classes: tuple[str, ...] | None = None
    max_detections: int | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """The server's first message, sent again when that changes: what serves, and the limits."""

    model: ServedModel
    labels: tuple[str, ...]
    input_size_wh: tuple[int, int]
    settings: Settings
    deadline_ms: float
    credits: int
    max_frame_bytes: int
    models: tuple[str, ...] = ()  # names that `settings.model` accepts
    fps: float | None = None  # promised frames a second; None: a share of what others leave
    stream: str = ""  # its id, 24 hex digits; empty from a server that has none
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that was not run: `reason` is superseded, late or closing."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed; `seq` is None when no single frame is to blame.

    `retry_after_s` says when a refused stream may find room.
    """

    code: str
    message: str
    seq: int | None = None
    retry_after_s: float | None = None


ServerMessage = Hello | Settings | Result | Dropped | Failure


def frame_id(stream: str, seq: int) -> str:
    """Return the id of a stream's frame: 32 hex digits, a W3C trace id."""
    return f"{stream}{seq & 0xFFFFFFFF:08x}"


def encode_frame(packet: FramePacket) -> bytes:
    """Return the binary message of one frame."""
    age_ms = min(max(packet.age_ms, 0), MAX_AGE_MS)
    header = _HEADER.pack(VERSION, 0, age_ms, packet.seq & 0xFFFFFFFF, packet.captured_us)
    return header + packet.payload


def decode_frame(message: bytes | memoryview) -> FramePacket:
    """Read a frame's binary message; the payload is a view, not a copy.

    Raises WireError on another version or a message without a picture.
    """
    if len(message) <= HEADER_BYTES:
        raise WireError(
            f"A frame is a {HEADER_BYTES}-byte header and a picture; got {len(message)} bytes."
        )
    version, _flags, age_ms, seq, captured_us = _HEADER.unpack_from(message)
    if version != VERSION:
        raise WireError(f"This server speaks frame version {VERSION}, the frame says {version}.")
    return FramePacket(seq, captured_us, age_ms, memoryview(message)[HEADER_BYTES:])


def settings_from_json(text: str) -> Settings:
    """Read a client's text message; raises WireError naming the field that is wrong."""
    data = _object(text)
    kind = data.pop("type", None)
    if kind != "settings":
        raise WireError(f'The only text message is {{"type": "settings", …}}, got type {kind!r}.')
    known = Settings.__dataclass_fields__
    for name in data:
        if name not in known:
            raise WireError(f"Unknown setting {name!r}; known are {', '.join(known)}.")
    return Settings(
        conf=_fraction(data, "conf"),
        iou=_fraction(data, "iou"),
        classes=_names(data, "classes"),
        max_detections=_count(data, "max_detections"),
        model=_name(data, "model"),
    )


def settings_to_json(settings: Settings) -> str:
    """Return the text message of settings; fields that are None are left out."""
    fields = {k: v for k, v in asdict(settings).items() if v is not None}
    return json.dumps({"type": "settings", **fields})


def message_to_json(message: ServerMessage, labels: tuple[str, ...] = ()) -> str:
    """Return a server message as text; `labels` name the classes of a result."""
    match message:
        case Hello():
            return json.dumps({"type": "hello", **asdict(message)})
        case Settings():
            return settings_to_json(message)
        case Result():
            return orjson.dumps({"type": "result", **result_to_dict(message, labels)}).decode()
        case Dropped():
            return json.dumps({"type": "dropped", **asdict(message)})
        case Failure():
            fields = asdict(message)
            if message.retry_after_s is None:
                del fields["retry_after_s"]
            return json.dumps({"type": "error", **fields})


def message_from_json(text: str) -> ServerMessage:
    """Read a server message; raises WireError if it is none."""
    data = _object(text)
    kind = data.pop("type", None)
    try:
        match kind:
            case "hello":
                return _hello(data)
            case "settings":
                return settings_from_json(text)
            case "result":
                return result_from_dict(data)
            case "dropped":
                return Dropped(int(data["seq"]), str(data["reason"]))
            case "error":
                return Failure(
                    str(data["code"]),
                    str(data["message"]),
                    data.get("seq"),
                    data.get("retry_after_s"),
                )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"A {kind} message is incomplete: {error!r}.") from error
    raise WireError(f"Unknown message type {kind!r}.")


def result_to_dict(result: Result, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON-ready object that `/detect` and the stream share."""
    width, height = result.size_wh
    traced = {"traced": True} if result.traced else {}
    return {
        "seq": result.seq,
        "captured_us": result.captured_us,
        "model": _served_dict(result.model),
        "image": {"width": width, "height": height},
        "detections": result.detections.to_dicts(labels),
        "timings_ms": {name: round(getattr(result.timings, name), 2) for name in _TIMINGS},
        "batch_size": result.batch_size,
        **traced,
    }


@lru_cache(maxsize=64)
def _served_dict(served: ServedModel) -> dict[str, Any]:
    return asdict(served)


def result_from_dict(data: dict[str, Any]) -> Result:
    """Read what `result_to_dict` wrote."""
    return Result(
        seq=int(data["seq"]),
        captured_us=int(data["captured_us"]),
        size_wh=(int(data["image"]["width"]), int(data["image"]["height"])),
        detections=Detections.from_dicts(data["detections"]),
        timings=Timings(**data["timings_ms"]),
        model=ServedModel(**data["model"]),
        batch_size=int(data["batch_size"]),
        traced=bool(data.get("traced", False)),
    )


def _hello(data: dict[str, Any]) -> Hello:
    settings = dict(data.pop("settings"))
    if settings.get("classes") is not None:
        settings["classes"] = tuple(settings["classes"])
    width, height = data.pop("input_size_wh")
    return Hello(
        model=ServedModel(**data.pop("model")),
        settings=Settings(**settings),
        labels=tuple(data.pop("labels")),
        input_size_wh=(int(width), int(height)),
        models=tuple(data.pop("models")),
        # What a newer server says besides is no reason not to understand it.
        **{name: value for name, value in data.items() if name in Hello.__dataclass_fields__},
    )


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"A text message must be JSON: {error}.") from error
    if not isinstance(data, dict):
        raise WireError(f"A text message must be a JSON object, got {type(data).__name__}.")
    return data


def _fraction(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise WireError(f"{name} must be a number from 0 to 1, got {value!r}.")
    return float(value)


def _count(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise WireError(f"{name} must be a whole number from 1 to 1000, got {value!r}.")
    return value


def _name(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise WireError(f"{name} must be text, got {value!r}.")
    return value


def _names(data: dict[str, Any], name: str) -> tuple[str, ...] | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise WireError(f"{name} must be a list of class names, got {value!r}.")
    return tuple(value)

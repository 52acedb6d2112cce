"""The peers: how each is asked, and the settings it is measured in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["http", "sightline", "in process"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a peer; `name` is what its page is told."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A server, or Sightline itself."""

    name: str  # of its page and its environment
    label: str
    packages: tuple[str, ...]  # whose versions are told
    settings: tuple[Setting, ...]
    kind: Kind = "http"
    path: str = "/detect"
    raw: bool = False  # the picture is the body, not a form's field


AS_IT_COMES = Setting("default", "as it comes")

SIGHTLINE = Peer(
    "sightline",
    "Sightline",
    ("sightline-backend", "openvino", "onnxruntime"),
    (
        Setting("auto", "WebSocket, engine auto"),
        Setting("onnxruntime", "WebSocket, engine onnxruntime"),
        Setting("http", "POST /detect, engine onnxruntime"),
    ),
    kind="sightline",
)

PEERS = (
    SIGHTLINE,
    Peer(
        "ultralytics",
        "Ultralytics in FastAPI",
        ("ultralytics", "fastapi", "torch", "onnxruntime"),
        (
            Setting("default", "predict in the endpoint"),
            Setting("best", "one thread with its own model"),
        ),
    ),
    Peer(
        "litserve",
        "LitServe",
        ("litserve", "onnxruntime"),
        (
            AS_IT_COMES,
            Setting("limit", "timeout in the queue"),
            Setting("batch", "batches of up to 4, timeout in the queue"),
        ),
    ),
    Peer(
        "bentoml",
        "BentoML",
        ("bentoml", "onnxruntime"),
        (
            AS_IT_COMES,
            Setting("limit", "max_concurrency = 2"),
            Setting("batch", "adaptive batches of up to 4, max_latency_ms = deadline"),
        ),
    ),
    Peer(
        "mosec",
        "mosec",
        ("mosec", "onnxruntime"),
        (
            AS_IT_COMES,
            Setting("limit", "capacity = 1"),
            Setting("batch", "decode stage, batches of up to 4, capacity = 4"),
        ),
        path="/inference",
        raw=True,
    ),
    Peer(
        "roboflow",
        "Roboflow inference",
        ("inference-cpu", "inference-models", "onnxruntime"),
        (AS_IT_COMES,),
        path="/peer/1?confidence=0.25&overlap=0.45",
    ),
    Peer(
        "streamlit_webrtc",
        "streamlit-webrtc sample",
        ("streamlit-webrtc", "aiortc", "onnxruntime"),
        (
            Setting("default", "in process, a model for each visitor"),
            Setting("best", "in process, one model for all"),
        ),
        kind="in process",
    ),
    Peer(
        "pytriton",
        "PyTriton",
        ("nvidia-pytriton", "onnxruntime"),
        (
            Setting("default", "as it comes (batches of up to 4)"),
            Setting("limit", "batches of 1, timeout in the queue"),
            Setting("batch", "batches of up to 4 held 1 ms, timeout in the queue"),
        ),
        path="/v2/models/detect/infer",
        raw=True,
    ),
)


def chosen(names: str | None) -> tuple[Peer, ...]:
    """Return the peers of a comma separated list, all for None.

    Raises ValueError naming the unknown one and the known ones.
    """
    if names is None:
        return PEERS
    known = {peer.name: peer for peer in PEERS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise ValueError(f"There is no peer {name!r}; known are {', '.join(known)}.")
    return tuple(peer for peer in PEERS if peer.name in wanted)

"""How each peer is started and asked in each of its settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.load.http1 import post_request
from benchmarks.load.spec import LoadSpec
from benchmarks.peers.harness.catalogue import Peer, Setting
from benchmarks.peers.harness.environment import Environment
from benchmarks.peers.harness.loads import Load

# Triton reads a body as JSON unless it is told that the JSON part of it is empty.
TRITON_HEADER = "Inference-Header-Content-Length: 0"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all peers."""

    model: Path
    clip: Path | None
    frames: Path  # the clip's pictures as JPEG files
    deadline_ms: float
    wait_ms: float  # longest time in a queue for which an answer can be in time
    seconds: float
    warm_s: float
    server_core: int
    load_core: int
    port: int


def server_command(
    peer: Peer, setting: Setting, environment: Environment, conditions: Conditions
) -> tuple[list[str], dict[str, str]]:
    """Return the command of a peer's server and what its environment holds."""
    python = str(environment.python)
    if peer.kind == "sightline":
        return [python, "-m", "sightline_backend"], {
            "SIGHTLINE_PORT": str(conditions.port),
            "SIGHTLINE_MODEL": str(conditions.model),
            "SIGHTLINE_ENGINE": "auto" if setting.name == "auto" else "onnxruntime",
            "SIGHTLINE_DEADLINE_MS": f"{conditions.deadline_ms:g}",
            "SIGHTLINE_LOG_LEVEL": "warning",
        }
    told = {
        "PEER_MODEL": str(conditions.model),
        "PEER_PORT": str(conditions.port),
        "PEER_SETTING": setting.name,
        "PEER_DEADLINE_MS": f"{conditions.deadline_ms:g}",
        "PEER_WAIT_MS": f"{conditions.wait_ms:g}",
    }
    if peer.name == "bentoml":  # started by its own command, which imports the service
        serve = [str(environment.folder / "bin" / "bentoml"), "serve"]
        where = ["--host", "127.0.0.1", "--port", str(conditions.port)]
        quiet = {"BENTOML_DO_NOT_TRACK": "True"}
        return [*serve, "benchmarks.peers.bentoml:Service", *where], told | quiet
    return [python, "-m", f"benchmarks.peers.{peer.name}"], told


def in_process_environment(load: Load, conditions: Conditions, out: Path) -> dict[str, str]:
    """Return what a peer that makes its own load is told besides."""
    return {
        "PEER_STREAMS": ",".join(map(str, load.rates)),
        "PEER_SECONDS": str(conditions.seconds),
        "PEER_WARM_S": str(conditions.warm_s),
        "PEER_FRAMES": str(conditions.frames),
        "PEER_OUT": str(out),
    }


def first_request(peer: Peer, conditions: Conditions) -> bytes:
    """Return a request for the clip's first picture, to see that a server works."""
    jpeg = min(conditions.frames.glob("*.jpg")).read_bytes()
    url = urlsplit(f"http://127.0.0.1:{conditions.port}{peer.path}")
    request = post_request(url, jpeg, None if peer.raw else "file")
    if peer.name == "pytriton":
        request = request.replace(b"\r\n", f"\r\n{TRITON_HEADER}\r\n".encode(), 1)
    return request


def load_command(
    peer: Peer, setting: Setting, load: Load, conditions: Conditions, out: Path
) -> Sequence[str]:
    """Return the load generator's command line."""
    live = peer.kind == "sightline" and setting.name != "http"
    address = f"127.0.0.1:{conditions.port}"
    spec = LoadSpec(
        kind="sightline" if live else "http",
        url=f"ws://{address}/ws/detect" if live else f"http://{address}{peer.path}",
        streams=load.rates,
        seconds=conditions.seconds,
        deadline_ms=conditions.deadline_ms,
        warm_s=conditions.warm_s,
        clip=conditions.clip,
        core=conditions.load_core,
        raw=peer.raw,
    )
    header = ["--header", TRITON_HEADER] if peer.name == "pytriton" else []
    command = [sys.executable, "-m", "benchmarks.load", *spec.arguments(), *header]
    return [*command, "--out", str(out)]

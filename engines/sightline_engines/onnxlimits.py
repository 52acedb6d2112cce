"""How large an ONNX file may be, and each thing in it. Real detectors stay far below."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnnxLimits:
    """Most of everything; what is over is refused with its name."""

    file_bytes: int = 2**30
    fields: int = 2_000_000  # of the file's encoding: each costs far more memory than it has bytes
    nesting: int = 60  # of messages; a subgraph takes three
    packed_bytes: int = 64 * 2**20  # of numbers that grow when they are read
    nodes: int = 50_000  # in all graphs
    subgraphs: int = 8  # one in the other
    elements: int = 2**29  # of a tensor, between operators too; open sides count as one
    rank: int = 16
    side: int = 8192  # of the input picture
    ports: int = 64  # inputs, and outputs
    text_bytes: int = 2**18  # of one entry of metadata
    check_bytes: int = 64 * 2**20  # files up to here are checked by onnx itself as well

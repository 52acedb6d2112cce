"""What a client is told of the end of a frame."""

from __future__ import annotations

from sightline_backend.batch import Done, Failed, NotRun, Outcome
from sightline_engines import wire
from sightline_engines.types import Result, ServedModel


def answer(
    packet: wire.FramePacket, outcome: Outcome, served: ServedModel, *, traced: bool
) -> Result | wire.Dropped | wire.Failure:
    """Return the message that ends a frame."""
    match outcome:
        case Done(detections, size_wh, timings, batch_size):
            return Result(
                seq=packet.seq,
                captured_us=packet.captured_us,
                size_wh=size_wh,
                detections=detections,
                timings=timings,
                model=served,
                batch_size=batch_size,
                traced=traced,
            )
        case NotRun(reason):
            return wire.Dropped(packet.seq, reason)
        case Failed(code, advice):
            return wire.Failure(code, advice, packet.seq)

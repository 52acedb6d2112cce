# mypy: disable-error-code="import-not-found, misc"
"""mosec: Python workers behind a Rust server, pictures as the request's body.

default: one worker that does everything, all options as they come.
limit: besides, at most one request waits, more are refused (`--capacity`). Its `--timeout`
is no help under overload: the answer is given up, but the worker runs the request all the same.
https://mosecorg.github.io/mosec/reference/arguments.html
batch: besides, decoding is a stage of its own and the next one runs what waits together
(`max_batch_size`).
https://mosecorg.github.io/mosec/reference/interface.html
"""

from __future__ import annotations

import sys

from mosec import Server, Worker

from benchmarks.peers.options import read_options
from benchmarks.peers.yolo import Answer, Detector, Picture, decode


class Raw(Worker):
    """Takes a body as it came; mosec would read it as JSON."""

    def deserialize(self, data: bytes) -> bytes:
        """Return the body."""
        return data


class Whole(Raw):
    """The whole work in one worker."""

    def __init__(self) -> None:
        self.detector = Detector(read_options().model)

    def forward(self, data: bytes) -> Answer:
        """Return a JPEG's boxes."""
        return self.detector.answer([data])[0]


class Decode(Raw):
    """First stage: JPEG to picture."""

    def forward(self, data: bytes) -> Picture:
        """Return the decoded picture."""
        return decode(data)


class Detect(Worker):
    """Second stage: pictures to boxes, several at once."""

    def __init__(self) -> None:
        self.detector = Detector(read_options().model)

    def forward(self, data: list[Picture]) -> list[Answer]:
        """Return each picture's boxes."""
        return self.detector.detect(data)


def main() -> None:
    """Serve until ended."""
    options = read_options()
    sys.argv += ["--address", "127.0.0.1", "--port", str(options.port)]
    if options.setting != "default":
        sys.argv += ["--capacity", "4" if options.setting == "batch" else "1"]
    server = Server()
    if options.setting == "batch":
        server.append_worker(Decode)
        server.append_worker(Detect, max_batch_size=4, max_wait_time=1)
    else:
        server.append_worker(Whole)
    server.run()


if __name__ == "__main__":
    main()

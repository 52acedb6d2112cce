# mypy: disable-error-code="import-not-found, misc, no-any-return"
"""LitServe: one LitAPI, pictures as multipart uploads.

default: as the first page of the documentation shows it; one request at a time.
limit: besides, a request that waited too long to be in time is refused (`timeout`).
https://lightning.ai/docs/litserve/api-reference/litserver
batch: besides, what waits is run together, up to four (`max_batch_size`); no time is spent
on waiting for more, as one core has none to spare.
https://lightning.ai/docs/litserve/features/batching
"""

import json

import litserve as ls
from fastapi import Request, Response

from benchmarks.peers.options import read_options
from benchmarks.peers.yolo import Answer, Detector


class DetectApi(ls.LitAPI):
    """Decodes, detects and encodes in LitServe's worker process."""

    def setup(self, device: str) -> None:
        """Load the model; called once in the worker."""
        self.detector = Detector(read_options().model)

    # LitServe looks at the type to tell what to pass, so annotations must be types here.
    def decode_request(self, request: Request) -> bytes:
        """Return the JPEG of an upload, which is given as the form that came."""
        return request["file"].file.read()

    def predict(self, jpegs: bytes | list[bytes]) -> Answer | list[Answer]:
        """Detect in one JPEG, or in a list of them where LitServe batches."""
        if isinstance(jpegs, bytes):
            return self.detector.answer([jpegs])[0]
        return self.detector.answer(jpegs)

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Keep a batch as it is; the default would stack arrays."""
        return inputs

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """Hand the answers back one by one."""
        return output

    def encode_response(self, output: Answer) -> Response:
        """Return an answer as JSON."""
        return Response(json.dumps(output), media_type="application/json")


def main() -> None:
    """Serve until ended."""
    options = read_options()
    batches = options.setting == "batch"
    api = DetectApi(max_batch_size=4 if batches else 1, batch_timeout=0.0, api_path="/detect")
    timeout = 30 if options.setting == "default" else options.wait_ms / 1e3
    server = ls.LitServer(api, accelerator="cpu", devices=1, timeout=timeout)
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False)


if __name__ == "__main__":
    main()

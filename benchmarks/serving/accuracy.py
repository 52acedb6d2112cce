"""Whether boxes that were served are as good as the bare model's: average precision of each."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.serving.plan import BenchmarkError, Plan
from benchmarks.serving.server import Server
from sightline_backend.settings import Settings
from sightline_backend.store.store import open_store
from sightline_engines import wire
from sightline_engines.load import load_engine
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.types import Detections, ModelSpec, Result

CONF, IOU, MOST = 0.01, 0.65, 100  # low enough for the whole curve, as COCO is measured
PATIENT_MS = 30_000.0  # accuracy has no deadline

Rows = list[dict[str, Any]]
File = tuple[int, bytes]  # its id in the truth, and its content
Found = tuple[int, Detections]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """AP50 of the same pictures three ways."""

    bare: float  # decoded in full
    posted: float  # POST /detect
    live: float  # /ws/detect
    pictures: int

    @property
    def ratio(self) -> float:
        """The worse of the served ones over the bare one."""
        return min(self.posted, self.live) / self.bare


def measure_accuracy(plan: Plan, most: int | None = None) -> Accuracy | None:
    """Run the labelled pictures each way; None where they are not at hand."""
    labels = plan.data / "coco" / "annotations" / "instances.json"
    if not labels.is_file():
        return None
    truth: dict[str, Any] = json.loads(labels.read_text())
    spec = open_store(Settings().models_dir).models.find(plan.model)
    truth = known_truth(truth, spec.labels, most)
    folder = plan.data / "coco" / "images"
    files = [(row["id"], (folder / row["file_name"]).read_bytes()) for row in truth["images"]]
    bare = _bare(plan, spec, files)
    with Server(plan, PATIENT_MS) as server:
        posted, live = _posted(server, files), _live(server, files)

    def score(way: Sequence[Found]) -> float:
        return average_precision_50(truth, _rows(truth, way, spec))

    return Accuracy(score(bare), score(posted), score(live), len(files))


def known_truth(
    truth: dict[str, Any], labels: Sequence[str], most: int | None = None
) -> dict[str, Any]:
    """Return a COCO truth with the classes that the model knows, and its first pictures."""
    categories = [row for row in truth["categories"] if row["name"] in labels]
    images = sorted(truth["images"], key=lambda row: row["id"])[:most]
    if not categories or not images:
        raise BenchmarkError("The labelled pictures have none of the model's classes.")
    wanted, ids = {row["id"] for row in categories}, {row["id"] for row in images}
    boxes = [
        row
        for row in truth["annotations"]
        if row["category_id"] in wanted and row["image_id"] in ids
    ]
    return {"info": {}, "images": images, "annotations": boxes, "categories": categories}


def average_precision_50(truth: dict[str, Any], rows: Rows) -> float:
    """Return COCO's mAP at IoU 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not rows:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        run = COCOeval(reference, reference.loadRes(rows), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[1])


def _rows(truth: dict[str, Any], found: Sequence[Found], spec: ModelSpec) -> Rows:
    ids = {row["name"]: row["id"] for row in truth["categories"]}
    rows: Rows = []
    for image_id, detections in found:
        for box, score, class_id in zip(
            detections.xyxy.tolist(), detections.score.tolist(), detections.class_id, strict=True
        ):
            category = ids.get(spec.labels[class_id])
            if category is not None:
                x1, y1, x2, y2 = box
                place = [x1, y1, x2 - x1, y2 - y1]
                rows.append(
                    {"image_id": image_id, "category_id": category, "bbox": place, "score": score}
                )
    return rows


def _bare(plan: Plan, spec: ModelSpec, files: Sequence[File]) -> list[Found]:
    settings = Settings()
    engine = load_engine(spec, settings.engine, device=settings.device, threads=plan.threads)
    options = [DetectOptions(CONF, IOU, None, MOST)]
    found = [
        (image_id, detect(engine, [decode_picture(data, PictureLimits())], options)[0][0])
        for image_id, data in files
    ]
    engine.close()
    return found


def _posted(server: Server, files: Sequence[File]) -> list[Found]:
    found: list[Found] = []
    params = {"conf": CONF, "iou": IOU, "max_detections": MOST}
    with httpx.Client(base_url=server.http, timeout=60, trust_env=False, params=params) as client:
        for image_id, data in files:
            answer = client.post("/detect", files={"file": data}).raise_for_status().json()
            found.append((image_id, Detections.from_dicts(answer["detections"])))
    return found


def _live(server: Server, files: Sequence[File]) -> list[Found]:
    found: list[Found] = []
    subprotocols = [Subprotocol(wire.SUBPROTOCOL)]
    with connect(server.url, subprotocols=subprotocols, proxy=None, max_size=None) as socket:
        socket.recv()  # the hello
        asked = wire.Settings(conf=CONF, iou=IOU, max_detections=MOST)
        socket.send(wire.settings_to_json(asked))
        socket.recv()
        for seq, (image_id, data) in enumerate(files):
            socket.send(wire.encode_frame(wire.FramePacket(seq, 0, 0, data)))
            answer = wire.message_from_json(str(socket.recv(timeout=60)))
            if not isinstance(answer, Result):
                raise BenchmarkError(f"The server did not run picture {image_id}: {answer}.")
            found.append((image_id, answer.detections))
    return found

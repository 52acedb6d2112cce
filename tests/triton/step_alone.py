"""Run in an interpreter of its own: every step from the modules that it carries, and no others.

Arguments: a folder with the vendored files. Prints the modules of Sightline that were loaded, and
what else of note was.
"""

import json
import sys
import types
from pathlib import Path

folder = Path(sys.argv[1])
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
sys.path.insert(0, str(folder))
sys.dont_write_bytecode = True

import model  # type: ignore[import-not-found]  # noqa: E402

sys.version_info >= model.OLDEST or sys.exit("too old")
from sightline_engines.triton.steps.step import open_step  # noqa: E402

common = {"model": "m", "deployment": 1, "sha256": "", "tensor": "t", "labels": ["a"]}
thresholds = {"conf": 0.5, "iou": 0.5, "max_detections": 9}
for spec in (
    {
        "step": "pictures",
        "fit": "centre",
        "pad": 114,
        "limits": {},
        "max_scan_pixels": 10**6,
        "threads": 2,
    },
    {"step": "boxes", "family": "yolox", "postprocess": thresholds},
    {"step": "classes", "top_k": 1, "softmax": True},
):
    open_step({**common, "input_size_wh": [32, 32], **spec}).close()

ours = {
    name: str(Path(str(module.__file__)).relative_to(folder))
    for name, module in sys.modules.items()
    if name.split(".")[0] == "sightline_engines"
}
heavy = [
    name for name in ("onnx", "google", "tritonclient", "torch", "orjson") if name in sys.modules
]
print(json.dumps({"ours": sorted(ours.values()), "heavy": heavy}))

"""Stands in for Triton's own ONNX Runtime backend, of which no CPU build is to be had.

Python-based: Triton runs it for every model whose config says `backend: "onnxruntime"`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Runs a version's model.onnx, the requests of one execution as one batch."""

    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        name = config.get("default_model_filename") or "model.onnx"
        path = os.path.join(args["model_repository"], args["model_version"], name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self.inputs = [one["name"] for one in config["input"]]
        self.outputs = [one["name"] for one in config["output"]]
        self.batched = config.get("max_batch_size", 0) > 0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        fed = [
            {name: pb_utils.get_input_tensor_by_name(one, name).as_numpy() for name in self.inputs}
            for one in requests
        ]
        try:
            rows = self._run(fed)
        except Exception as error:  # told to each client, as the real backend does
            failed = pb_utils.TritonError(f"onnx runtime error: {error}")
            return [pb_utils.InferenceResponse([], failed) for _ in requests]
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, a) for name, a in zip(self.outputs, row, strict=True)]
            )
            for row in rows
        ]

    def _run(self, fed: Sequence[Mapping[str, Any]]) -> list[Any]:
        if not self.batched:
            return [self.session.run(self.outputs, one) for one in fed]
        whole = {name: np.concatenate([one[name] for one in fed]) for name in self.inputs}
        made = self.session.run(self.outputs, whole)
        ends = np.cumsum([len(one[self.inputs[0]]) for one in fed])[:-1]
        parts = [np.split(array, ends) for array in made]
        return [[np.ascontiguousarray(part[i]) for part in parts] for i in range(len(fed))]

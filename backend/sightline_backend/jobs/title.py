"""What a job is called."""

from __future__ import annotations

from sightline_backend.jobs.requests import (
    BenchmarkRequest,
    ConvertRequest,
    JobRequest,
    PipelineRequest,
    ValidateRequest,
)

_FORMATS = {"onnx": "ONNX", "openvino": "OpenVINO", "tensorrt": "TensorRT"}
_ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT"}


def title_of(request: JobRequest) -> str:
    """Return what people read, such as "Convert cars to OpenVINO INT8"."""
    match request:
        case ConvertRequest():
            made = f"{_FORMATS[request.format]} {request.precision.upper()}"
            return f"Convert {request.model} to {made}"
        case ValidateRequest():
            engine = "" if request.engine == "auto" else f" on {_ENGINES[request.engine]}"
            return f"Measure the accuracy of artefact {request.artefact_id}{engine}"
        case BenchmarkRequest():
            return f"Measure {request.model}: {_matrix(request)}"
        case PipelineRequest():
            return f"Convert and test {request.model}: {_matrix(request)}"


def _matrix(request: BenchmarkRequest | PipelineRequest) -> str:
    engines = ", ".join(_ENGINES[engine] for engine in request.engines)
    precisions = ", ".join(precision.upper() for precision in request.precisions)
    batches = ", ".join(map(str, request.batches))
    return f"{engines}; {precisions}; batch {batches}"

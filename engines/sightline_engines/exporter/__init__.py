"""One call from any `torch.nn.Module` to a model that Triton serves, checked against torch."""

from sightline_engines.exporter.benchmark import run_benchmark
from sightline_engines.exporter.create import create_exporter
from sightline_engines.exporter.exporter import ServingExporter
from sightline_engines.exporter.onnx_export import export_to_onnx
from sightline_engines.exporter.options import BenchmarkConfig, ExportConfig
from sightline_engines.exporter.results import (
    BenchmarkResult,
    Deployed,
    MadeFile,
    OnnxExport,
    OutputError,
    Parity,
    PipelineResult,
    Port,
    TensorRtBuild,
    TritonFiles,
)
from sightline_engines.exporter.trt_build import build_trt_engine
from sightline_engines.exporter.versions import generate_triton_config
from sightline_engines.triton.config import TritonConfig

__all__ = [
    "BenchmarkConfig",
    "BenchmarkResult",
    "Deployed",
    "ExportConfig",
    "MadeFile",
    "OnnxExport",
    "OutputError",
    "Parity",
    "PipelineResult",
    "Port",
    "ServingExporter",
    "TensorRtBuild",
    "TritonConfig",
    "TritonFiles",
    "build_trt_engine",
    "create_exporter",
    "export_to_onnx",
    "generate_triton_config",
    "run_benchmark",
]

"""What each step of an export gives: files, figures, and how the answers compare with torch's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sightline_engines.convert.options import Precision
from sightline_engines.triton.options import Protocol


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as the file has it; -1 is an open side."""

    name: str
    datatype: str  # NumPy's word
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutputError:
    """How far one output is from what it should be, over all samples."""

    name: str
    largest: float  # difference of a single value; 0 for an output of whole numbers
    error: float  # length of the difference over length of the values; share that differs if whole


@dataclass(frozen=True, slots=True)
class Parity:
    """How a made model's answers compare with the module's, or with another's."""

    source: str  # whose answers it is compared with
    samples: int
    limit: float  # of each output's error, above which the step fails
    outputs: tuple[OutputError, ...]

    @property
    def error(self) -> float:
        """The greatest of all outputs."""
        return max((one.error for one in self.outputs), default=0.0)


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file that a step made, or found where the step was skipped."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class OnnxExport:
    """The module as ONNX, in the asked precision."""

    file: MadeFile
    precision: Precision
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parity: Parity | None  # with the module; None: skipped, or there is no module
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorRtBuild:
    """A plan for this machine's first GPU."""

    file: MadeFile
    precision: Precision
    source_sha256: str  # of the ONNX file
    shapes: dict[str, tuple[tuple[int, ...], ...]]  # of each input: smallest, best, largest
    gpu: str
    tensorrt: str
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TritonFiles:
    """A version of a model in a repository."""

    model_name: str
    version: int
    folder: Path
    config: MadeFile
    model: MadeFile
    text: str  # config.pbtxt
    seconds: float


@dataclass(frozen=True, slots=True)
class Deployed:
    """A version that Triton has loaded and that has answered."""

    model_name: str
    version: int
    url: str
    parity: Parity  # of what Triton answers
    seconds: float


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """How fast a model answers through Triton; times in milliseconds, of whole requests."""

    model_name: str
    url: str
    protocol: Protocol
    batch: int  # items a request
    concurrency: int
    requests: int
    failures: int
    throughput: float  # requests a second
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    server_ms: dict[str, float]  # means of the server's own: queue, input, infer, output
    target_latency_ms: float | None
    target_met: bool | None  # whether p99 is within the target and nothing failed; None: no target
    seconds: float


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What `deploy_full_pipeline` did; None is a step that was skipped or not needed."""

    model_name: str
    onnx: OnnxExport
    plan: TensorRtBuild | None
    files: TritonFiles
    deployed: Deployed
    benchmark: BenchmarkResult | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, as JSON has them."""
        return _plain(asdict(self))  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value

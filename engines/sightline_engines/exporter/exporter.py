"""The way from a module to an answering Triton, step by step or in one call."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sightline_engines.convert.traced import as_served, run_module
from sightline_engines.errors import EngineError, ModelFileError, ProviderError
from sightline_engines.exporter.benchmark import run_benchmark
from sightline_engines.exporter.checks import Steps, check
from sightline_engines.exporter.deploy import Reference, TritonPlace, deploy_version
from sightline_engines.exporter.onnx_export import answers_of, export_to_onnx
from sightline_engines.exporter.onnx_files import existing_onnx, read_onnx_file
from sightline_engines.exporter.options import BenchmarkConfig, ExportConfig
from sightline_engines.exporter.parity import expected_answers
from sightline_engines.exporter.results import (
    BenchmarkResult,
    Deployed,
    OnnxExport,
    PipelineResult,
    TensorRtBuild,
    TritonFiles,
)
from sightline_engines.exporter.samples import Calibration, Feed, compared, read_calibration
from sightline_engines.exporter.trt_build import build_trt_engine
from sightline_engines.exporter.versions import generate_triton_config
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.triton.client import open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.control import Control
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import ServerOptions, TritonServer

if TYPE_CHECKING:
    import torch


class ServingExporter:
    """Takes one model to Triton; the steps' files lie in `output` and are found there again."""

    def __init__(  # noqa: PLR0913  the parts of a deployment
        self,
        model: torch.nn.Module | Path | None,
        export_config: ExportConfig,
        triton_config: TritonConfig | None = None,
        benchmark_config: BenchmarkConfig | None = None,
        *,
        repository: Path | None = None,
        output: Path = Path("export"),
        calibration: Calibration | None = None,
    ) -> None:
        """Take a module, the path of an ONNX file, or None where an earlier export is used.

        `repository` is the folder that Triton serves; `calibration` are inputs for INT8, which
        answers are compared on as well: samples, or an .npz file.
        """
        self.model = model
        self.export_config = export_config
        self.triton_config = triton_config or TritonConfig()
        self.benchmark_config = benchmark_config or BenchmarkConfig()
        self.repository = repository
        self.output = output
        self.calibration = calibration

    @property
    def onnx_path(self) -> Path:
        """Where the ONNX file is, or will be."""
        if isinstance(self.model, Path):
            return self.model
        return self.output / f"{self.export_config.model_name}.onnx"

    @property
    def plan_path(self) -> Path:
        """Where the TensorRT plan is, or will be."""
        return self.output / f"{self.export_config.model_name}.plan"

    def export_onnx(self, progress: Progress = quiet) -> OnnxExport:
        """Write the module as ONNX in its precision, compared with the module."""
        if self.model is None or isinstance(self.model, Path):
            raise ModelFileError(
                "There is no module to export: give one, or leave the export out (skip_export)."
            )
        return export_to_onnx(
            self.model,
            self.export_config,
            self.onnx_path,
            calibration=self.calibration,
            symmetric=self.triton_config.platform == "tensorrt_plan",
            progress=progress,
        )

    def optimize_tensorrt(self, progress: Progress = quiet) -> TensorRtBuild:
        """Build a TensorRT plan of the ONNX file; blocks for minutes."""
        return build_trt_engine(
            self.onnx_path, self.export_config, self.plan_path, progress=progress
        )

    def generate_triton_config(self) -> TritonFiles:
        """Write the next version into the repository; Triton is not asked to load it."""
        return generate_triton_config(
            self.export_config, self.triton_config, self._onnx(), self._served(), self._folder()
        )

    def deploy(self) -> tuple[TritonFiles, Deployed]:
        """Write the next version, have Triton swap to it, and compare what it answers."""
        return self._deploy(self._onnx(), self.benchmark_config)

    def benchmark(self, progress: Progress = quiet) -> BenchmarkResult:
        """Measure the model at Triton."""
        return self._measure(self.benchmark_config, progress)

    def deploy_full_pipeline(
        self,
        *,
        skip_export: bool = False,
        skip_trt: bool = False,
        skip_benchmark: bool = False,
        server: ServerOptions | None = None,
        progress: Progress = quiet,
    ) -> PipelineResult:
        """Export, build, deploy and measure; a step that can't run is told before the first begins.

        Skipped steps use the files that are in `output`. A `server` is started for the length of
        the call, in place of the one at `triton_url`. Raises ProviderError with all that is
        missing; what the steps raise otherwise.
        """
        begin_s = time.perf_counter()
        self.check(skip_export=skip_export, skip_trt=skip_trt, server=server)
        export, build = self._steps(skip_export=skip_export, skip_trt=skip_trt)
        onnx = self.export_onnx(part(progress, 0.0, 0.4)) if export else self._onnx()
        plan = self.optimize_tensorrt(part(progress, 0.4, 0.7)) if build else None
        with ExitStack() as stack:
            config = self.benchmark_config
            if server is not None:
                progress(0.7, "starting Triton")
                config = self._started(stack, server)
            progress(0.75, "loading the model at Triton")
            files, deployed = self._deploy(onnx, config)
            measured = None
            if not skip_benchmark:
                try:
                    measured = self._measure(config, part(progress, 0.85, 1.0))
                except (EngineError, ProviderError) as error:
                    raise type(error)(
                        f"{files.model_name} {files.version} is deployed and answers, but can't be "
                        f"measured: {error.message}"
                    ) from error
        seconds = time.perf_counter() - begin_s
        progress(1.0, "done")
        return PipelineResult(
            self.export_config.model_name, onnx, plan, files, deployed, measured, seconds
        )

    def check(
        self,
        *,
        skip_export: bool = False,
        skip_trt: bool = False,
        server: ServerOptions | None = None,
    ) -> None:
        """Raise ProviderError if the whole way can't be gone here, saying all that is missing.

        Looks at this machine, the files and Triton, not at the module. Raises ModelFileError for
        files that don't fit.
        """
        export, build = self._steps(skip_export=skip_export, skip_trt=skip_trt)
        steps = Steps(
            export=export,
            build=build,
            calibrated=self.calibration is not None,
            onnx=self.onnx_path,
            plan=self.plan_path,
            repository=self.repository,
            server=server,
        )
        check(self.export_config, self.triton_config, self.benchmark_config, steps)
        self._samples()  # those that don't fit are told now
        if not export:
            self._onnx()

    def _steps(self, *, skip_export: bool, skip_trt: bool) -> tuple[bool, bool]:
        """Return whether the module is to be exported, and whether a plan is to be built."""
        export = not skip_export and not isinstance(self.model, Path)
        return export, self.triton_config.platform == "tensorrt_plan" and not skip_trt

    def _onnx(self) -> OnnxExport:
        return existing_onnx(self.onnx_path, self.export_config)

    def _served(self) -> Path:
        plan = self.triton_config.platform == "tensorrt_plan"
        return self.plan_path if plan else self.onnx_path

    def _folder(self) -> Path:
        if self.repository is None:
            raise ModelFileError("There is no repository: name the folder that Triton serves.")
        return self.repository

    def _samples(self) -> tuple[Feed, ...]:
        if self.calibration is None:
            return ()
        return read_calibration(self.export_config, self.calibration)

    def _deploy(self, onnx: OnnxExport, config: BenchmarkConfig) -> tuple[TritonFiles, Deployed]:
        reference = self._reference(onnx, compared(self.export_config, self._samples()))
        repository = Repository(self._folder())
        with open_client(config.options()) as client:
            place = TritonPlace(repository, client, Control(client, repository))
            return deploy_version(
                place, self.export_config, self.triton_config, onnx, self._served(), reference
            )

    def _reference(self, onnx: OnnxExport, feeds: Sequence[Feed]) -> Reference:
        """Return what the module answers, or where there is none, the ONNX file."""
        if self.model is None or isinstance(self.model, Path):
            whose = self.onnx_path.name
            return Reference(feeds, answers_of(read_onnx_file(self.onnx_path).model, feeds), whose)
        names = [port.name for port in onnx.outputs]
        with as_served(self.model) as served:
            whose = "the PyTorch module"
            found = expected_answers(lambda feed: run_module(served, feed), feeds, whose)
        answers = [dict(zip(names, one.values(), strict=True)) for one in found]
        return Reference(feeds, answers, whose)

    def _started(self, stack: ExitStack, server: ServerOptions) -> BenchmarkConfig:
        """Start a Triton on the repository and return where it answers."""
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True)
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sightline-triton-")))
        options = replace(server, repository=folder)
        running = stack.enter_context(TritonServer(options, logs / "tritonserver.log"))
        config = self.benchmark_config
        url = running.grpc_url if config.protocol == "grpc" else running.http_url
        return replace(config, triton_url=url)

    def _measure(self, config: BenchmarkConfig, progress: Progress) -> BenchmarkResult:
        return run_benchmark(
            config,
            self.export_config.model_name,
            shapes=self.export_config.input_shapes,
            target_latency_ms=self.export_config.target_latency_ms,
            progress=progress,
        )

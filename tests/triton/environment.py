"""A real tritonserver without a GPU, in a virtual environment of its own (docs/testing.md)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sightline_engines.triton.server import ServerOptions
from tests.conftest import ROOT, missing

WHEEL = "nvidia-pytriton==0.7.0"  # Triton 2.51, of 24.10, with its Python backend
LIBRARIES = ("numpy<2", "onnxruntime", "opencv-python-headless<4.12")  # of Python models
PERF_ANALYZER = "tritonclient==2.51.0"  # carries the program; the package of that name doesn't
VERSION = "1"  # of what is made here


@dataclass(frozen=True, slots=True)
class TritonEnvironment:
    """Where a tritonserver and what it needs lie."""

    folder: Path

    @property
    def site_packages(self) -> Path:
        """Return where its libraries are."""
        return next((self.folder / "venv" / "lib").glob("python3.*/site-packages"))

    @property
    def program(self) -> Path:
        return self.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def python_path(self) -> str:
        """Return a PATH whose python3 has what Python models need."""
        return f"{self.folder / 'venv' / 'bin'}:/usr/bin:/bin"

    @property
    def backends(self) -> Path:
        return self.site_packages / "pytriton" / "tritonserver" / "backends"

    @property
    def caches(self) -> Path:
        return self.site_packages / "pytriton" / "tritonserver" / "caches"

    @property
    def perf_analyzer(self) -> Path:
        """Return a script that runs NVIDIA's own load generator."""
        return self.folder / "perf_analyzer" / "run"

    def options(self, repository: Path, *arguments: str, **more: object) -> ServerOptions:
        """Return how a server of a repository is run here."""
        values: dict[str, object] = {
            "program": self.program,
            "repository": repository,
            "backends": self.backends,
            "caches": self.caches,
            "path": self.python_path,
            "arguments": ("--allow-gpu-metrics=false", *arguments),
        }
        return ServerOptions(**(values | more))  # type: ignore[arg-type]


def install_triton() -> TritonEnvironment:
    """Install Triton where it isn't yet; skips where that can't be done, fails so in CI."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # noqa: TID251
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "sightline-tests" / f"triton-{VERSION}-py{minor}"
    folder.mkdir(parents=True, exist_ok=True)
    made = TritonEnvironment(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run side by side
        if not (folder / "done").exists():
            try:
                _install(made, minor)
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", b"") or b""
                missing(f"Triton can't be installed: {error} {said.decode()[-500:]}")
            (folder / "done").touch()
    _check(made, minor)
    return made


def _install(made: TritonEnvironment, minor: str) -> None:
    for name in ("venv", "perf_analyzer"):
        shutil.rmtree(made.folder / name, ignore_errors=True)
    venv.create(made.folder / "venv", with_pip=False, symlinks=True)
    python = made.folder / "venv" / "bin" / "python"
    uv = ROOT / ".venv" / "bin" / "uv"
    _call(uv, "pip", "install", "-q", "-p", python, WHEEL, *LIBRARIES)
    server = made.site_packages / "pytriton" / "tritonserver"
    # In its own place: what it links is found from there.
    stub = server / "python_backend_stubs" / minor / "triton_python_backend_stub"
    (made.backends / "python" / stub.name).symlink_to(stub)
    (made.backends / "onnxruntime").mkdir()
    standing_in = Path(__file__).with_name("onnxruntime_backend.py")
    shutil.copy(standing_in, made.backends / "onnxruntime" / "model.py")
    _install_perf_analyzer(made, python)


def _install_perf_analyzer(made: TritonEnvironment, python: Path) -> None:
    """Take the program out of the wheel that carries it, and give it the libraries it links."""
    folder = made.folder / "perf_analyzer"
    (folder / "lib").mkdir(parents=True)
    _call(
        *(ROOT / ".venv" / "bin" / "python", "-m", "pip", "download", "-q", "--no-deps"),
        *("--only-binary=:all:", "--platform=manylinux1_x86_64", "-d", folder, PERF_ANALYZER),
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        inside = next(n for n in wheel.namelist() if n.endswith("/perf_analyzer"))
        (folder / "perf_analyzer").write_bytes(wheel.read(inside))
    (folder / "perf_analyzer").chmod(0o755)
    libraries = made.site_packages / "nvidia_pytriton.libs"
    for name, found in (("libb64.so.0d", "libb64-*"), ("libcudart.so.12", "libcudart-*")):
        (folder / "lib" / name).symlink_to(next(libraries.glob(found)))
    script = made.perf_analyzer
    script.write_text(
        f'#!/bin/sh\nLD_LIBRARY_PATH="{folder / "lib"}" exec "{folder / "perf_analyzer"}" "$@"\n'
    )
    script.chmod(0o755)


def _check(made: TritonEnvironment, minor: str) -> None:
    """Skip where the interpreter's shared library, which the stub links, isn't here."""
    stub = made.backends / "python" / "triton_python_backend_stub"
    linked = subprocess.run(["ldd", stub], capture_output=True, text=True, check=False).stdout
    if "not found" in linked:
        missing(f"Triton's Python models need libpython{minor} (Debian: libpython{minor})")


def _call(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)

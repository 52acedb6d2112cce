"""`sightline triton export` as a process that is ended."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from tests.cli.running import SIGHTLINE, running, wait_for
from tests.triton.tiny_classifier import SIDE, tiny_classifier


def test_an_ended_export_ends_the_triton_that_it_started(
    tmp_path: Path,
) -> None:
    (tmp_path / "net.onnx").write_bytes(tiny_classifier())
    pid = tmp_path / "pid"
    program = tmp_path / "tritonserver"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n")
    program.chmod(0o755)
    command = (
        *(*SIGHTLINE, "triton", "export", str(tmp_path / "net.onnx"), "--model-name", "net"),
        *("--input", f"images:3x{SIDE}x{SIDE}", "--repository", str(tmp_path / "models")),
        *("--start-server", "--server-program", str(program), "--skip-benchmark"),
    )
    with running(command) as stack:
        wait_for(lambda: pid.exists() or stack.process.poll() is not None)
        assert stack.process.poll() is None, stack.said
        stack.process.send_signal(signal.SIGTERM)
        assert stack.wait() != 0
    wait_for(lambda: not psutil.pid_exists(int(pid.read_text())))

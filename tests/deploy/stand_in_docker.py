"""A program named `docker` that answers as it is told and writes down what it was asked.

What .env says it asks the real Compose, whose rules those are.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT, missing

TOOLS = (
    *(
        "awk",
        "cat",
        "dirname",
        "find",
        "grep",
        "head",
        "id",
        "mktemp",
        "printenv",
        "rm",
        "sed",
        "sh",
        "tail",
        "tee",
    ),
    *("touch", "tr", "uname"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program prints, and its exit status."""

    out: str = ""
    err: str = ""
    status: int = 0


WELL: Mapping[str, Answer] = {
    "--version": Answer("Docker version 28.5.1, build e180ab8\n"),
    "version *": Answer("28.5.1\n"),
    "compose version --short": Answer("2.40.3\n"),
    "info *": Answer('{"Runtimes":{"runc":{}}}\n'),
    "compose down --remove-orphans": Answer(),
    "compose up *": Answer(),
    "compose port frontend 8501": Answer("127.0.0.1:8501\n"),
    "compose port backend 8000": Answer("127.0.0.1:8000\n"),
    "compose port grafana 3000": Answer("0.0.0.0:3300\n[::]:3300\n"),
}


def compose_command() -> list[str]:
    """Return the command `docker compose`, with the plugin wherever it is on this machine."""
    plugin = shutil.which("docker-compose")
    docker = shutil.which("docker")
    if plugin:
        return [plugin]
    if (
        docker
        and not subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        return [docker, "compose"]
    missing("neither docker-compose nor docker's compose plugin is installed")
    return []


@dataclass(frozen=True, slots=True)
class Run:
    """How startup.sh ended, and what it asked docker for."""

    status: int
    out: str
    err: str
    calls: tuple[str, ...]

    @property
    def up(self) -> str:
        """The one `docker compose … up …`."""
        (call,) = [call for call in self.calls if " up " in call]
        return call


@dataclass(slots=True)
class Machine:
    """A PATH with nothing on it but a shell's tools and the programs that are put there."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.folder / "bin" / tool).symlink_to(found)

    def has(self, name: str, answers: Mapping[str, Answer]) -> None:
        """Put a program there; the first pattern that its arguments match decides."""
        lines = ["#!/bin/sh", f"printf '%s\\n' \"{name} $*\" >>'{self.folder}/calls'"]
        lines.append(f"case \"$*\" in *' up '*) printenv >'{self.folder}/variables';; esac")
        if name == "docker":
            real = shlex.join(compose_command())
            lines.append(f'case "$*" in "compose -f - config") exec {real} -f - config;; esac')
        lines.append('case "$*" in')
        for number, (pattern, answer) in enumerate(answers.items()):
            said = self.folder / f"{name}-{number}"
            said.with_suffix(".out").write_text(answer.out)
            said.with_suffix(".err").write_text(answer.err)
            quoted = pattern.replace(" ", "\\ ")
            lines.append(
                f"{quoted}) cat '{said}.out'; cat '{said}.err' >&2; exit {answer.status};;"
            )
        lines += ["esac", 'echo "not expected: $*" >&2', "exit 99"]
        program = self.folder / "bin" / name
        program.unlink(missing_ok=True)  # a link would have the machine's own written over
        program.write_text("\n".join(lines) + "\n")
        program.chmod(0o755)

    def has_docker(self, answers: Mapping[str, Answer] | None = None) -> None:
        """Put a docker there that is well but for `answers`."""
        self.has("docker", {**(answers or {}), **WELL, **(answers or {})})

    @property
    def env_file(self) -> Path:
        """The `.env` that startup.sh and Compose read."""
        return self.folder / ".env"

    def variable_at_up(self, name: str) -> str:
        """Return what a variable was when docker was asked to start everything."""
        lines = (self.folder / "variables").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines).get(name, "")

    def run(self, *options: str) -> Run:
        """Run a copy of startup.sh here, where no `.env` of a developer's is."""
        script = shutil.copy(ROOT / "startup.sh", self.folder)
        done = subprocess.run(
            ["sh", script, *options],
            env={"PATH": str(self.folder / "bin"), **self.env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        calls = self.folder / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return Run(done.returncode, done.stdout, done.stderr, tuple(lines))

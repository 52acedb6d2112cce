"""The compose project of the check: its commands, its ports, its containers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent.parent
ONE_SHOT = "prepare"
_POLL_S = 0.5
T = TypeVar("T")


class CheckFailed(Exception):
    """Something isn't as it should be; the text says what was found."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The project: `services` are those that run, `ports` maps a service to its port here."""

    project: str
    services: tuple[str, ...]
    ports: Mapping[str, int]
    wait_s: int

    def up(self) -> None:
        """Build and start everything; return when all of it is healthy."""
        limit = ("--wait", "--wait-timeout", str(self.wait_s))
        self.compose("up", "--build", "--detach", *limit, *self.services, quiet=False)

    def down(self) -> None:
        """Remove containers, networks and volumes; images stay."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "40")

    def compose(self, *arguments: str, given: bytes | None = None, quiet: bool = True) -> str:
        """Run `docker compose …` and return what it said; raises CheckFailed."""
        files = ("docker-compose.yml", "deploy/images_check/override.yml")
        named = [part for file in files for part in ("--file", file)]
        command = ["docker", "compose", "--project-name", self.project, "--env-file", os.devnull]
        return run([*command, *named, *arguments], env=self._env(), given=given, quiet=quiet)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        found: list[dict[str, Any]] = json.loads(run(["docker", "inspect", container]))
        return found[0]

    def url(self, service: str) -> str:
        """Return where this machine reaches a published service."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def ask(self, service: str, url: str) -> Any:
        """Return the JSON that a program inside a service's container answers."""
        return json.loads(self.compose("exec", "-T", service, "wget", "-q", "-O", "-", url))

    def _env(self) -> dict[str, str]:
        inherited = os.environ  # noqa: TID251  a child gets what we were given
        ours = {f"{service.upper()}_PORT": str(port) for service, port in self.ports.items()}
        return {**inherited, **ours, "BUILDKIT_PROGRESS": "plain"}


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    given: bytes | None = None,
    quiet: bool = True,
) -> str:
    """Run a program and return its output, or let it be seen; raises CheckFailed."""
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(
        command, cwd=ROOT, env=env, input=given, stdout=output, stderr=output, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or b"its output is above").decode(errors="replace").strip()
        raise CheckFailed(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return (done.stdout or b"").decode()


def until(what: str, limit_s: float, ask: Callable[[], T | None]) -> T:
    """Ask again and again until there is an answer; raises CheckFailed after the limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if (answer := ask()) is not None:
            return answer
        time.sleep(_POLL_S)
    raise CheckFailed(f"{what}: not within {limit_s:.0f} s")


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody has."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()

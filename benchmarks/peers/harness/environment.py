"""A virtual environment for each peer, made from its requirements file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.harness.catalogue import Peer

INSTALL_S = 900.0
FOLDER = Path(__file__).resolve().parents[1]
_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class PeerError(RuntimeError):
    """A peer that can't be installed, started or measured, and why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a peer's packages are."""

    folder: Path  # of the virtual environment

    @property
    def python(self) -> Path:
        """Return its Python."""
        return self.folder / "bin" / "python"

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """Return the versions of the packages that are installed."""
        command = [str(self.python), "-c", _VERSIONS, *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise PeerError(f"{self.python} does not run: {done.stderr.strip()[-500:]}")
        versions: dict[str, str] = json.loads(done.stdout)
        return versions


def own_environment() -> Environment:
    """Return the environment that this program runs in, for Sightline itself."""
    return Environment(Path(sys.prefix))


def requirements(peer: Peer) -> Path:
    """Return a peer's list of packages."""
    return FOLDER / f"requirements-{peer.name}.txt"


def prepare(peer: Peer, venvs: Path, install: bool) -> Environment:
    """Return a peer's environment, made or brought up to date where `install` says so.

    Raises PeerError with what the installer said.
    """
    if peer.kind == "sightline":
        return own_environment()
    environment = Environment(venvs.resolve() / peer.name)
    if not install:
        if not environment.python.exists():
            raise PeerError(f"not installed: run without --skip-install, or see {venvs}")
        return environment
    wanted = requirements(peer)
    stamp = environment.folder / ".installed"
    mark = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != mark:
        uv = [sys.executable, "-m", "uv"]
        where = str(environment.folder)
        _run([*uv, "venv", "-q", "--clear", "-p", sys.executable, where])
        _run([*uv, "pip", "install", "-q", "-p", where, "-r", str(wanted)])
        stamp.write_text(mark)
    return environment


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"installing took more than {INSTALL_S:.0f} s") from None
    if done.returncode:
        raise PeerError(f"it could not be installed: {done.stderr.strip()[-800:]}")

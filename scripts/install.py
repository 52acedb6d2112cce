"""Make .venv and install Sightline into it, with nothing but the standard library.

    python3 scripts/install.py          what `sightline` needs to run
    python3 scripts/install.py --dev    and what the tests and the linters need

Every download is checked against the hashes in requirements*.txt. A stamp in .venv holds
what was installed, so a second call ends at once. It has to start on any Python 3, so
that an old one gets a sentence and not a syntax error.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MEMBERS = ("engines", "monitoring", "backend", "frontend")
TOOLS, RUN, GPU, DEV = (
    ROOT / name
    for name in (
        "requirements-tools.txt",
        "requirements.txt",
        "requirements-gpu.txt",
        "requirements-dev.txt",
    )
)
SUPPORTED = ("3.13", "3.12", "3.11")


def main() -> None:
    """Install what the stamps say is missing."""
    wanted = [("run", GPU if has_nvidia_gpu() else RUN)]
    if "--dev" in sys.argv[1:]:
        wanted.append(("dev", DEV))
    stale = [(stamp, pins) for stamp, pins in wanted if not is_installed(stamp, pins)]
    if not stale:
        return
    if not is_healthy():
        make_venv()
    install_tools()
    for stamp, pins in stale:
        install(stamp, pins)
    print("Installed. `.venv/bin/sightline --help` shows what it can do.", flush=True)


def install_tools() -> None:
    """Install the pinned uv; it also builds our four packages, without a download."""
    call(PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", TOOLS)


def install(stamp: str, pins: Path) -> None:
    """Install the pinned libraries and, to run, our four packages as they lie here."""
    uv = (PYTHON, "-m", "uv", "pip")
    if stamp == "run":
        # The two have one import name: what is there of the other would be half overwritten.
        other = "onnxruntime" if pins == GPU else "onnxruntime-gpu"
        subprocess.run([*uv, "uninstall", "-q", "-p", PYTHON, other], check=False, stderr=-3)
    print(f"Installing {pins.name} …", flush=True)
    call(*uv, "install", "-q", "-p", PYTHON, "--require-hashes", "-r", pins)
    if stamp == "run":
        members = [part for name in MEMBERS for part in ("-e", ROOT / name)]
        call(*uv, "install", "-q", "-p", PYTHON, "--no-deps", *members)
    stamp_path(stamp).write_text(fingerprint(pins))


def has_nvidia_gpu() -> bool:
    """Say whether the NVIDIA driver answers, on a machine its wheels are built for."""
    if platform.machine() != "x86_64" or not shutil.which("nvidia-smi"):
        return False
    return "GPU" in output("nvidia-smi", "-L")


def is_installed(stamp: str, pins: Path) -> bool:
    """Compare the stamp with what would be installed now."""
    path = stamp_path(stamp)
    return PYTHON.exists() and path.exists() and path.read_text() == fingerprint(pins)


def stamp_path(stamp: str) -> Path:
    return VENV / f".installed-{stamp}"


def fingerprint(pins: Path) -> str:
    """Hash the pins, our packages' definitions and the folder (a moved .venv is broken)."""
    files = [Path(__file__), TOOLS, pins, *(ROOT / m / "pyproject.toml" for m in MEMBERS)]
    digest = hashlib.sha256(str(ROOT).encode())
    for file in files:
        digest.update(file.read_bytes())
    return f"{pins.name} {digest.hexdigest()}"


def is_healthy() -> bool:
    """Say whether .venv holds a supported Python and a pip of its own."""
    said = output(VENV / "bin" / "pip", "--version")
    return str(VENV) in said and version_of(PYTHON) in SUPPORTED


def make_venv() -> None:
    """Make .venv with pip in it, in the first way that this machine offers."""
    if VENV.exists():
        if any(VENV.iterdir()) and not (VENV / "pyvenv.cfg").exists():
            sys.exit(f"{VENV} is in the way and no virtual environment: move it elsewhere.")
        shutil.rmtree(VENV)
    if shutil.which("uv"):
        call("uv", "venv", "-q", "--seed", "-p", ">=3.11,<3.14", VENV)
        return
    python = find_python()
    if output(python, "-m", "ensurepip", "--version"):
        call(python, "-m", "venv", VENV)
    elif output(python, "-m", "pip", "--version"):
        call(python, "-m", "venv", "--without-pip", VENV)
        pip = (python, "-m", "pip", "--python", PYTHON, "install", "-q")
        call(*pip, "--require-hashes", "-r", TOOLS)
    else:
        install_debian_venv(python)
        call(python, "-m", "venv", VENV)


def find_python() -> str:
    """Return a supported Python: the running one if it is, else the newest on the PATH."""
    candidates = [sys.executable, *(shutil.which(f"python{v}") or "" for v in SUPPORTED)]
    for python in candidates:
        if python and version_of(python) in SUPPORTED:
            return python
    sys.exit(
        f"Sightline needs Python 3.11, 3.12 or 3.13; this one is {platform.python_version()} "
        f"and none of python3.11, python3.12, python3.13 is on the PATH.\n"
        "On Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv\n"
        "Elsewhere: install one of them, then run this again with PYTHON=/its/path make install"
    )


def install_debian_venv(python: str) -> None:
    """Install Debian's package that Python's venv and pip come from."""
    package = f"python{version_of(python)}-venv"
    by_hand = f"sudo apt-get update && sudo apt-get install -y {package}"
    sudo = () if os.geteuid() == 0 else ("sudo", "-n")
    may = not sudo or (shutil.which("sudo") and run(*sudo, "true") == 0)
    if not shutil.which("apt-get") or not may:
        sys.exit(f"This Python has neither venv nor pip. Run this, then try again:\n  {by_hand}")
    print(f"This Python has neither venv nor pip: installing Debian's {package} …", flush=True)
    apt = (*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq")
    run(*apt, "update")
    if run(*apt, "install", "-y", "--no-install-recommends", package) != 0:
        sys.exit(f"{package} could not be installed. Try it by hand:\n  {by_hand}")


def version_of(python: "str | Path") -> str:
    """Return "3.11" and so on, "" for what isn't a working Python."""
    return output(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")


def output(*command: "str | Path") -> str:
    """Return what a command printed, "" when it failed or isn't there."""
    try:
        done = subprocess.run(
            [str(c) for c in command], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def run(*command: "str | Path") -> int:
    return subprocess.run([str(c) for c in command], check=False).returncode


def call(*command: "str | Path") -> None:
    """Run a command; end with its own error when it fails."""
    if run(*command) != 0:
        sys.exit("This failed (its own message is above): " + " ".join(map(str, command)))


if __name__ == "__main__":
    main()

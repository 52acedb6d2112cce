"""A password of its own for each installation.

    python -m sightline_monitoring.password FILE

Makes FILE with a random password, unless it is there, and prints it that once.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

_BYTES = 18  # 24 characters that no guessing reaches


def make_password(path: Path) -> str | None:
    """Write a new password to `path` and return it; None if there is one already.

    The file is whole or not there at all, and readable by its owner's group and others: it is
    meant for a volume that one container mounts. Raises OSError where it can't be written.
    """
    if path.exists() and path.stat().st_size:
        return None
    password = secrets.token_urlsafe(_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(password)
    unfinished.chmod(0o444)
    os.replace(unfinished, path)
    return password


def main(arguments: list[str]) -> int:
    """Make the password; returns the exit status."""
    if len(arguments) != 1:
        print("Name the file: python -m sightline_monitoring.password FILE", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        password = make_password(path)
    except OSError as error:
        print(f"Can't write {path}: {error.strerror}. Is its volume mounted?", file=sys.stderr)
        return 1
    if password is None:
        print("Grafana's password was made at the first start and has not changed.")
    else:
        print(f"Grafana: user admin, password {password}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

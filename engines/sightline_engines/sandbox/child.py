"""The walled child's first code: run as a file, in isolated mode, by run.py.

It reads the plan, imports the trusted task, builds the walls, says which stand, and only then
begins. What it prints afterwards is hostile to its parent.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

_NICE = 5  # whoever serves streams goes first
SAYS = "::sightline "  # begins a line that is meant for the parent


def main() -> int:
    """Do what standard input asks for; return the exit code."""
    asked = json.loads(sys.stdin.buffer.read())
    sys.path[:] = asked["plan"]["import_from"]
    from sightline_engines.errors import SightlineError
    from sightline_engines.sandbox.plan import Plan
    from sightline_engines.sandbox.walls import build_walls, die_with_parent

    plan = Plan.from_dict(asked["plan"])
    die_with_parent(asked["parent"])
    os.umask(0o077)
    os.nice(_NICE)
    os.chdir(plan.scratch)
    task = importlib.import_module(plan.task)
    stands = build_walls(plan)
    _say("walls", " ".join(stands))
    if not set(plan.required) <= set(stands):
        return 1
    try:
        task.run(plan.arguments, lambda share, doing: _say("progress", f"{share:.3f} {doing}"))
    except SightlineError as error:
        _say("error", error.message)
        return 1
    except BaseException as error:  # untrusted code raises whatever it likes
        traceback.print_exc()
        _say("error", f"{type(error).__name__}: {error}")
        return 1
    return 0


def _say(what: str, text: str) -> None:
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    print(f"{SAYS}{what} {line}", flush=True)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # nothing that untrusted code left to run at exit

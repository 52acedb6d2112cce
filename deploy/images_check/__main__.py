"""Bring the compose file up for real, use it, break it, and take it down: `make images-check`.

    python -m deploy.images_check [--without SERVICE …] [--keep] [--any-size]

Needs a Docker engine with its compose and buildx plugins, and the images that docker-compose.yml
names; --without leaves out a service whose image can't be had here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from deploy.images_check.stack import CheckFailed, Stack, free_ports, run
from deploy.images_check.traffic import (
    check_command_line,
    check_logs,
    check_pages,
    check_picture,
    check_stream,
)
from deploy.images_check.walls import check_sizes, check_walls
from deploy.images_check.watching import check_alert, check_grafana, check_prometheus

_PROJECT = "sightline-images-check"
_SERVICES = ("backend", "frontend", "prometheus", "alertmanager", "grafana")
_WAIT_S = 600


def main() -> int:
    """Run every check; return the exit status."""
    options = argparse.ArgumentParser(
        prog="python -m deploy.images_check",
        description="Bring the compose file up for real, use it, break it, and take it down.",
    )
    options.add_argument(
        "--without",
        action="append",
        default=[],
        choices=_SERVICES[2:],
        metavar="SERVICE",
        help="leave out one whose image can't be had here",
    )
    options.add_argument("--keep", action="store_true", help="leave it running")
    options.add_argument("--any-size", action="store_true", help="print sizes, judge none")
    chosen = options.parse_args()
    left = tuple(name for name in _SERVICES if name not in chosen.without)
    ports = dict(zip(("backend", "frontend", "grafana"), free_ports(3), strict=True))
    stack = Stack(_PROJECT, left, ports, _WAIT_S)
    begun = time.monotonic()
    try:
        stack.down()  # of a run that was cut off
        _timed("up", _up(stack))
        for name, lines in _checks(stack, strict=not chosen.any_size):
            _timed(name, lines)
    except CheckFailed as error:
        print(f"FAILED  {error}", flush=True)
        return 1
    finally:
        if not chosen.keep:
            _timed("down", _down(stack))
    without = f", without {', '.join(chosen.without)}" if chosen.without else ""
    print(f"All checks passed in {time.monotonic() - begun:.0f} s{without}.")
    return 0


def _checks(stack: Stack, *, strict: bool) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the checks in their order; each does its work while its lines are taken."""
    yield "walls", check_walls(stack)
    yield "picture", check_picture(stack)
    yield "stream", check_stream(stack)
    yield "pages", check_pages(stack)
    yield "command line", check_command_line(stack)
    if "prometheus" in stack.services:
        yield "prometheus", check_prometheus(stack)
    if "grafana" in stack.services:
        yield "grafana", check_grafana(stack)
    if {"prometheus", "alertmanager"} <= set(stack.services):
        yield "alert", check_alert(stack)
    yield "restarts", _restarts(stack)
    yield "stream again", check_stream(stack)
    yield "logs", check_logs(stack)
    yield "sizes", check_sizes(stack, strict=strict)


def _up(stack: Stack) -> Iterator[str]:
    stack.up()
    if "alertmanager" in stack.services:
        stack.compose("up", "--detach", "--no-build", "receiver")
    yield f"{', '.join(stack.services)}: healthy"


def _restarts(stack: Stack) -> Iterator[str]:
    for service in stack.services:
        begun = time.monotonic()
        stack.compose("stop", service)
        stopped = time.monotonic()
        state = stack.inspect(service)["State"]
        if state["Running"] or state["ExitCode"] not in (0, 143) or state["OOMKilled"]:
            raise CheckFailed(f"{service} ended with {state['ExitCode']}")
        stack.compose("up", "--detach", "--no-build", "--wait", service)
        back = time.monotonic() - stopped
        yield f"{service}: stopped in {stopped - begun:.1f} s, healthy again after {back:.1f} s"


def _down(stack: Stack) -> Iterator[str]:
    stack.down()
    for what in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
        label = f"label=com.docker.compose.project={stack.project}"
        if remains := run(["docker", *what, "--quiet", "--filter", label]).split():
            print(f"left behind: {remains}", flush=True)
    yield "containers, networks and volumes removed"


def _timed(name: str, lines: Iterator[str]) -> None:
    begun = time.monotonic()
    for line in lines:
        print(f"ok  {name}: {line}", flush=True)
    print(f"    {name} took {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())

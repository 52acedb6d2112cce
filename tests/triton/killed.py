"""Run in a process of its own: deployments that are killed at every step of the way.

Arguments: a repository, an ONNX classifier, and "kill" or how many deployments to make. Each try
is a child that kills itself, as `kill -9` would, at its nth change to the disk, in the middle of a
file among them; what it left is looked at then. Prints what was seen, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from sightline_engines.triton import disk
from sightline_engines.triton import repository as repositories
from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.vendor import vendored
from tests.triton.tiny_classifier import CLASSES, SIDE, tiny_classifier

CHANGES = frozenset({"os.rename", "os.mkdir", "os.chmod", "shutil.rmtree"})
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVERY = 19  # of the changes of a whole deployment, to keep the time short

Change = Callable[[], object]


class Killing:
    """Kills changes of a repository, and looks at what they leave."""

    def __init__(self, deployments: Deployments, spec: ClassifierSpec) -> None:
        self.deployments = deployments
        self.spec = spec
        self.kills: dict[str, int] = {}
        self.problems: list[str] = []

    def made(self) -> Deployment:
        return self.deployments.prepare(self.spec, TritonConfig(warmup=False))

    def deploy(self) -> None:
        """Deploy, point and tidy up, as a deployment does."""
        self.deployments.point(self.made())
        self.deployments.prune(self.spec.name, keep=2)

    def deployed(self) -> None:
        """Kill whole deployments, one after the other."""
        self.deploy()
        for at in count(1, EVERY):
            before = self._number()
            if not self._killed("deploy", self.deploy, at):
                break
            self._look("deploy", at, range(before, before + 1000))

    def pointed(self) -> None:
        """Kill the switch to a later deployment, and the switch back to the earlier one."""
        first, second = self.made(), self.made()
        for name, start, end in (("point", first, second), ("back", second, first)):
            for at in count(1):
                self.deployments.point(start)
                if not self._killed(name, partial(self.deployments.point, end), at):
                    break
                self._look(name, at, (start.number, end.number))
        self.deployments.point(second)

    def discarded(self) -> None:
        """Kill the removal of a deployment that doesn't serve."""
        serving = self._number()
        for at in count(1):
            made = self.made()
            if not self._killed("discard", partial(self.deployments.discard, made), at):
                break
            self._look("discard", at, (serving,))

    def forgotten(self) -> None:
        """Kill the removal of all there is of a model, then remove what is left."""
        name, deployments = self.spec.name, self.deployments
        for at in count(1):
            self.deployments.point(self.made())
            if not self._killed("forget", lambda: deployments.forget(name), at):
                break
            listed, left = deployments.all(name), deployments.left_of(name)
            if listed and deployments.active(name) is None and name in left:
                self.problems.append(f"forget {at}: {len(listed)} are listed, and none serves")
            deployments.forget(name)
            if deployments.left_of(name):
                self.problems.append(f"forget {at}: {deployments.left_of(name)} is left for good")

    def _number(self) -> int:
        active = self.deployments.active(self.spec.name)
        assert active is not None
        return active.number

    def _look(self, what: str, at: int, numbers: Any) -> None:
        said = problem(self.deployments, self.spec.name, numbers)
        if said:
            self.problems.append(f"{what} killed at {at}: {said}")

    def _killed(self, what: str, change: Change, at: int) -> bool:
        """Tell whether a child that was to die at its `at`th change got there."""
        child = os.fork()
        if not child:
            try:
                die(at)
                change()
            finally:
                os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        self.kills[what] = self.kills.get(what, 0) + died
        return died


def die(at: int) -> None:
    """Have this process kill itself at its `at`th change to the disk; half a file is one."""
    left = at

    def changed() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if (event in CHANGES or written) and changed():
            os.kill(os.getpid(), signal.SIGKILL)

    whole = disk.write

    def half(path: Path, content: bytes | str | Path) -> None:
        if not changed():
            whole(path, content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.read_bytes() if isinstance(content, Path) else content
        data = data.encode() if isinstance(data, str) else data
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(repositories, "write", half)  # noqa: B010  mypy lets no module's function be replaced
    sys.addaudithook(heard)


def problem(deployments: Deployments, model: str, numbers: Any) -> str:
    """Return what is wrong with a repository after a kill, nothing if it can be used as it is."""
    active = deployments.active(model)
    if active is None or active.number not in numbers:
        return f"one of {tuple(numbers)} was to be active, not {active and active.number}"
    for name in active.stable:
        config = read_config((deployments.repository.folder / name / "config.pbtxt").read_text())
        (version,) = config.version_policy.specific.versions
        if not (deployments.repository.folder / name / str(version)).is_dir():
            return f"{name} has no folder {version}"
        for step in config.ensemble_scheduling.step:
            if not (deployments.repository.folder / step.model_name / "config.pbtxt").exists():
                return f"{name} leads to {step.model_name}, which isn't whole"
    return next(filter(None, (damage(deployments, one) for one in deployments.all(model))), "")


def damage(deployments: Deployments, one: Deployment) -> str:
    """Return what of a deployment isn't as it is written; nothing if all is."""
    for part in one.parts:
        folder = deployments.repository.folder / part
        config = read_config((folder / "config.pbtxt").read_text())
        if config.name != part or config.parameters["sightline_part"].string_value == "":
            return f"{part} has half a config"
        if part == one.detector:
            if len((folder / "1" / "model.onnx").read_bytes()) < len(tiny_classifier()):
                return f"{part} has half a network"
            continue
        json.loads((folder / "1" / "spec.json").read_text())
        if any((folder / "1" / path).read_text() != text for path, text in vendored().items()):
            return f"{part} has half a program"
    return ""


def main() -> None:
    setattr(os, "fsync", lambda _: None)  # noqa: B010  a kill is no power cut; far quicker
    deployments = Deployments(Repository(Path(sys.argv[1])))
    spec = ClassifierSpec("shades", Path(sys.argv[2]), (SIDE, SIDE), CLASSES, top_k=2)
    if sys.argv[3] != "kill":
        numbers = []
        for _ in range(int(sys.argv[3])):
            made = deployments.prepare(spec, TritonConfig())
            deployments.point(made)
            numbers.append(made.number)
        print(json.dumps(numbers))
        return
    killing = Killing(deployments, spec)
    killing.deployed()
    killing.deploy()
    kept = [one.number for one in deployments.all("shades")]
    killing.pointed()
    killing.discarded()
    deployments.prune("shades", keep=2)
    killing.forgotten()
    left = [name for name in os.listdir(sys.argv[1]) if name.startswith(".incoming-")]
    told = {"kills": killing.kills, "problems": killing.problems, "left": left, "kept": kept}
    print(json.dumps(told))


if __name__ == "__main__":
    main()

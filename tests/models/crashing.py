"""Run in a process of its own: copies of it use one store, and are killed at every step.

Forking is cheap, so each step gets a process; the parent itself never opens the store.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sightline_backend.errors import NameTakenError, StoreError
from sightline_backend.store.files import digest
from sightline_backend.store.store import Store, open_store
from sightline_engines.assets import shipped_model
from tests.engines.tiny import constant_model, random_raw

Work = Callable[[Store], None]
TAKEN = 3  # exit status: the name was taken
STEPS = ("open", "os.", "shutil.", "tempfile.", "sqlite3.connect")


def forked(folder: Path, work: Work, kill_at: int | None = None) -> int:
    """Start a process that works on the store; `kill_at` is the file operation it dies before."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if kill_at is not None:
            _die_at(kill_at)
        with closing(open_store(folder)) as store:
            work(store)
        status = 0
    except NameTakenError:
        status = TAKEN
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a process; returns its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(folder: Path, work: Work, kill_at: int | None = None) -> int:
    """Do some work in a process and wait for it."""
    return ended(forked(folder, work, kill_at))


def _die_at(step: int) -> None:
    seen = 0

    def count(event: str, _arguments: object) -> None:
        nonlocal seen
        if event.startswith(STEPS):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def check_whole(store: Store) -> None:
    """Every row's file is there and is what it should be."""
    for model in store.models.models():
        for version in model.versions:
            assert version.artefacts, f"{model.name} has a version of nothing"
            for artefact in version.artefacts:
                assert digest(artefact.path) == artefact.sha256, artefact
    assert not store.models.broken(), store.models.broken()


def check_swept(store: Store) -> None:
    """A scan leaves no file that nothing names, and every word beside a file is back."""
    for half in (*store.folder.glob(".incoming-*"), *store.folder.rglob("*.part")):
        os.utime(half, (0, 0))  # as though it were old
    report = store.models.scan()
    assert (report.missing, report.broken, report.added) == ((), (), ()), report
    assert list(store.folder.glob(".incoming-*")) == []
    named = {a.sha256 for m in store.models.models() for v in m.versions for a in v.artefacts}
    kept = {path.name.split(".")[0] for path in store.folder.glob("files/*/*")}
    assert kept <= named, kept - named
    for sha256 in kept:
        assert len(list(store.folder.glob(f"files/*/{sha256}.*"))) == 2
    check_whole(store)


def killed_while_adding(folder: Path) -> None:
    """Die before every second file operation of adding and removing; a model is whole or gone."""
    model = _tiny(folder)
    with closing(open_store(folder.with_name("warm"))) as store:  # so that forks import nothing
        _remove(_with(store, model))
        check_swept(store)
    assert run(folder, check_swept) == 0
    for step in range(1, 201, 2):
        status = run(folder, lambda store: _remove(_with(store, model)), step)
        assert run(folder, _check_and_remove) == 0, f"broken after step {step}"
        if status == 0:
            break
        assert status == -signal.SIGKILL, status
    assert 20 < step < 200, f"died at {step} steps"
    assert run(folder, check_swept) == 0


def _tiny(folder: Path) -> Path:
    """Write a model so small that a hundred of them take no time."""
    path = folder.with_name("tiny.onnx")
    return constant_model(path, random_raw("end2end", 2), batch="batch")


def _with(store: Store, model: Path) -> Store:
    store.models.add(model, "mine")
    return store


def _check_and_remove(store: Store) -> None:
    check_whole(store)
    _remove(store)


def _remove(store: Store) -> None:
    if "mine" in store.models.summaries():
        store.models.remove("mine")


def at_once(folder: Path) -> None:
    """Several processes make the database and add the same: one gets the name, all get theirs."""
    start = time.time() + 0.3

    def add(name: str) -> Work:
        def work(store: Store) -> None:
            time.sleep(max(0.0, start - time.time()))
            store.models.add(shipped_model(), name)

        return work

    pids = [forked(folder, add(name)) for name in ("same", "same", "one", "two")]
    statuses = [ended(pid) for pid in pids]
    assert sorted(statuses[:2]) == [0, TAKEN], statuses
    assert statuses[2:] == [0, 0], statuses
    assert run(folder, check_swept) == 0


def full_disk(folder: Path) -> None:
    """No file may grow beyond a size: nothing is kept, and all that was there still is."""
    assert run(folder, _added) == 0

    def add(store: Store) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        before = sorted(p.name for p in store.folder.rglob("*") if "sightline.db" not in p.name)
        with pytest.raises(StoreError, match="no room"):
            store.models.add(Path(sys.argv[3]), "larger")
        after = sorted(p.name for p in store.folder.rglob("*") if "sightline.db" not in p.name)
        assert before == after, set(before) ^ set(after)

    assert run(folder, add) == 0
    assert run(folder, check_swept) == 0


def _added(store: Store) -> None:
    store.models.add(shipped_model(), "mine")


def killed_while_held(folder: Path) -> None:
    """A model that a killed process had in use, and an upload it left, are in nobody's way."""
    assert run(folder, _added) == 0

    def hold(store: Store) -> None:
        with store.models.hold([store.models.find("mine")]), store.models.incoming() as incoming:
            (incoming / "half.onnx").write_bytes(shipped_model().read_bytes()[:1000])
            os.kill(os.getpid(), signal.SIGKILL)

    assert run(folder, hold) == -signal.SIGKILL
    assert len(list(folder.glob(".incoming-*"))) == 1
    assert run(folder, check_swept) == 0
    assert run(folder, lambda store: store.models.remove("mine")) == 0


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))

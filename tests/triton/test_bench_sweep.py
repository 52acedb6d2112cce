"""The sweep and the commands, against a real tritonserver that serves a deployed model."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from sightline_engines.errors import EngineAwayError, ProviderError, SightlineError
from sightline_engines.triton.bench import sweep as sweeping
from sightline_engines.triton.bench.choice import Limit
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions, Closed, Count
from sightline_engines.triton.bench.setting import Setting, setting_of
from sightline_engines.triton.bench.sweep import SweepOptions
from sightline_engines.triton.bench.trial import BEFORE_FILE, Trial
from sightline_engines.triton.client import open_client
from sightline_engines.triton.config import read_config
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository
from tests.triton.at_triton import AtTriton
from tests.triton.echo import (
    CONFIG,
    MODEL,
    NAME,
    PRESENT,
    echoing,
    in_force,
    left_alone,
    on_disk,
    served,
)
from tests.triton.environment import TritonEnvironment


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtTriton]:
    with echoing(triton_environment, tmp_path_factory.mktemp("sweep")) as running:
        yield running


@pytest.fixture
def unchanged(triton: AtTriton) -> Iterator[None]:
    with left_alone(triton):
        yield


def options(triton: AtTriton, model: str = NAME, **more: Any) -> SweepOptions:
    """Return a sweep of few requests that goes by no limit."""
    asked = BenchOptions(triton.server.grpc_url, model, load=Closed(2), until=Count(4))
    return replace(SweepOptions(triton.folder, asked, ANY), **more)


@contextmanager
def raw_client(triton: AtTriton) -> Iterator[Any]:
    """Give NVIDIA's own client, which can load a model with a config of its own."""
    from tritonclient import grpc

    client = grpc.InferenceServerClient(triton.server.grpc_url)
    try:
        yield client
    finally:
        client.close()


ANY = Limit(1e6)


def favours(name: str, setting: Setting) -> Callable[..., Any]:
    """Return a measurement that finds one setting, the server's present one, far faster."""

    def measured(asked: BenchOptions, *more: Any) -> Any:
        found = measure(asked, *more)
        with open_client(asked.triton()) as client:
            fast = served(client, name) == setting
        return replace(found, pictures_per_s=1000.0 if fast else 10.0)

    return measured


def test_the_best_setting_of_a_deployment_is_written_and_served_and_described(
    triton: AtTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton.load()
    network, best = triton.deployment.detector, Setting(2, (4,), 500)
    monkeypatch.setattr(sweeping, "measure", favours(network, best))
    asked = options(triton, triton.deployment.tensors, instances=(2,))
    told: list[float] = []
    found = sweeping.sweep(
        replace(asked, preferred_batch_sizes=((4,),), max_queue_delays_us=(500,)),
        lambda share, _: told.append(share),
    )
    assert [one.setting for one in found.tried] == [PRESENT, best]
    assert all(one.measured and one.measured.requests == 4 for one in found.tried)
    assert (found.choice.best, found.written, found.complete) == (best, True, True)
    assert found.configured == network
    assert in_force(triton, network) == setting_of(read_config(on_disk(triton, network))) == best
    active = Deployments(Repository(triton.folder)).active(triton.deployment.model)
    assert active is not None
    assert active.config.instance_count == 2
    assert active.config.preferred_batch_sizes == (4,)
    assert active.config.max_queue_delay_us == 500
    assert told == sorted(told)


def test_a_limit_that_nothing_keeps_leaves_all_as_it_was(triton: AtTriton, unchanged: None) -> None:
    found = sweeping.sweep(options(triton, limit=Limit(0.001)))
    assert (found.choice.best, found.written, found.complete) == (None, False, True)
    assert len(found.tried) == 2


def test_without_write_the_best_is_told_and_not_kept(
    triton: AtTriton, unchanged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "measure", favours(NAME, Setting(2)))
    found = sweeping.sweep(options(triton, write=False))
    assert (found.choice.best, found.written) == (Setting(2), False)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineAwayError("gone")])
def test_whatever_ends_it_the_old_config_comes_back(
    triton: AtTriton, unchanged: None, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails_later(asked: BenchOptions, *more: Any) -> Any:
        if in_force(triton, NAME) != PRESENT:
            raise error
        return measure(asked, *more)

    monkeypatch.setattr(sweeping, "measure", fails_later)
    with pytest.raises(type(error)):
        sweeping.sweep(options(triton))


def test_a_sweep_that_is_stopped_keeps_its_figures_and_changes_nothing(
    triton: AtTriton, unchanged: None
) -> None:
    stop = threading.Event()

    def stop_at_the_second(_share: float, doing: str) -> None:
        if doing.startswith("2 of"):
            stop.set()

    found = sweeping.sweep(options(triton), stop_at_the_second, stop)
    assert (len(found.tried), found.complete, found.written) == (1, False, False)


def test_a_setting_that_triton_refuses_is_told_and_the_others_go_on(
    triton: AtTriton, unchanged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Control.load

    def refuses_two(control: Any, name: str, *more: Any) -> None:
        if setting_of(read_config(on_disk(triton, NAME))).instances == 2:
            raise ProviderError("no room")
        load(control, name, *more)

    monkeypatch.setattr(Control, "load", refuses_two)
    found = sweeping.sweep(options(triton, instances=(2, 3), write=False))
    assert [one.error for one in found.tried] == ["", "no room", ""]
    assert found.complete


def test_the_present_setting_is_measured_as_its_file_says(
    triton: AtTriton, unchanged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_client(triton) as client:
        config = client.get_model_config(NAME, as_json=True)["config"]
        config["instance_group"][0]["count"] = 3
        client.load_model(NAME, config=json.dumps(config))
    assert in_force(triton, NAME) == Setting(3)
    measured_at: list[Setting] = []

    def noting(asked: BenchOptions, *more: Any) -> Any:
        measured_at.append(in_force(triton, NAME))
        return measure(asked, *more)

    monkeypatch.setattr(sweeping, "measure", noting)
    sweeping.sweep(options(triton, write=False))
    assert measured_at == [PRESENT, Setting(2)]


def test_what_is_removed_meanwhile_is_not_brought_back(
    triton: AtTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = triton.folder / "shortlived" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG.replace(NAME, "shortlived"))

    def removed(asked: BenchOptions, *more: Any) -> Any:
        if served(triton.client, asked.model) != PRESENT:
            shutil.rmtree(version.parent)
        return measure(asked, *more)

    monkeypatch.setattr(sweeping, "measure", removed)
    try:
        with pytest.raises(ProviderError, match="was removed, or deployed anew, meanwhile"):
            sweeping.sweep(options(triton, "shortlived", instances=(2, 3)))
        assert not version.parent.exists()
    finally:
        triton.client.unload("shortlived")


@pytest.mark.parametrize("put_aside", [False, True])
def test_a_deployment_that_is_put_aside_is_not_loaded_again(
    triton: AtTriton, monkeypatch: pytest.MonkeyPatch, put_aside: bool
) -> None:
    repository, loaded = Repository(triton.folder), list[str]()
    monkeypatch.setattr(Control, "load", lambda _self, name, *_: loaded.append(name))
    trial = Trial(
        repository, Control(triton.client, repository), NAME, lambda: not (put_aside and loaded)
    )
    with trial.held() as old:
        trial.put(old + "# tried")
    assert on_disk(triton, NAME) == CONFIG
    assert loaded == [NAME] * (1 if put_aside else 2)


def test_a_config_that_was_changed_since_a_kill_is_left_as_it_is(triton: AtTriton) -> None:
    repository = Repository(triton.folder)
    folder = triton.folder / NAME
    (folder / BEFORE_FILE).write_text(CONFIG.replace("count: 1", "count: 9"))
    trial = Trial(repository, Control(triton.client, repository), NAME, lambda: True)
    with trial.held() as old:
        assert old == CONFIG
    assert (trial.recovered, on_disk(triton, NAME)) == (False, CONFIG)
    assert not (folder / BEFORE_FILE).exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [("nobody", "has no nobody/config.pbtxt"), ("../models", "can't be a model's name")],
)
def test_a_model_that_is_not_in_the_repository_is_refused(
    triton: AtTriton, model: str, said: str
) -> None:
    with pytest.raises(SightlineError, match=said):
        sweeping.sweep(options(triton, model))

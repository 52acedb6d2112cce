"""Deploying to a real tritonserver: swapped under load, rolled back, and what goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline_engines.errors import DeployError, EngineAwayError, SightlineError
from sightline_engines.triton.client import open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.control import UNLOAD_S, Control
from sightline_engines.triton.deployer import Deployer
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.probe import probe
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.turn import model_turn
from tests.triton.deploying_site import (
    NAMES,
    BrokenDeployments,
    FullDeployments,
    Site,
    SlowDeployments,
    active_of,
    deploying,
    kill,
    traffic,
)
from tests.triton.environment import TritonEnvironment


@pytest.fixture(scope="module")
def site(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with deploying(triton_environment, tmp_path_factory.mktemp("deployer")) as made:
        yield made


def test_deployments_are_swapped_and_rolled_back_without_a_lost_request(site: Site) -> None:
    first = site.deployer.deploy(site.spec, TritonConfig(), artefact_id=7)
    assert (first.number, first.artefact_id) == (1, 7)
    site.check(first)
    with traffic(site) as (answers, failures):
        second = site.deployer.deploy(site.spec, TritonConfig(instance_count=2))
        site.check(second)
        assert site.deployer.rollback("webcam") == first
        site.check(first)
    assert failures == []
    assert set(answers) == {(name, version) for name in NAMES for version in ("1", "2")}
    with pytest.raises(DeployError, match="before number 1"):
        site.deployer.rollback("webcam")


def test_what_fails_leaves_the_old_one_serving_and_nothing_of_itself(site: Site) -> None:
    before = active_of(site)
    files = set(site.deployments.repository.names())

    def refuse(deployment: Deployment) -> None:
        assert site.control.serves("webcam", deployment.number)
        raise EngineAwayError("the streams don't follow")

    with traffic(site, 2) as (answers, failures):
        with pytest.raises(DeployError, match="gpu"):
            site.deployer.deploy(site.spec, TritonConfig(gpus=(63,)))
        site.check(before)
        with pytest.raises(EngineAwayError, match="don't follow"):
            site.deployer.deploy(site.spec, TritonConfig(), moved=refuse)
        site.check(before)
    assert failures == []
    assert answers
    assert set(site.deployments.repository.names()) == files


def test_one_that_loads_and_does_not_work_never_serves(site: Site) -> None:
    before = active_of(site)
    broken = Deployer(BrokenDeployments(site.deployments.repository), site.control, site.client)
    with pytest.raises(DeployError, match=r"loads and doesn't work.*not today"):
        broken.deploy(site.spec, TritonConfig())
    site.check(before)


def test_what_cannot_be_switched_back_serves_on_and_says_why_it_failed(site: Site) -> None:
    before = active_of(site)
    full = Deployer(FullDeployments(site.deployments.repository), site.control, site.client)

    def refuse(deployment: Deployment) -> None:
        raise EngineAwayError("the streams don't follow")

    with pytest.raises(EngineAwayError, match="don't follow"):
        full.deploy(site.spec, TritonConfig(), moved=refuse)
    assert all(probe(site.client, name).ok for name in NAMES)
    site.check(site.deployer.deploy(site.spec, TritonConfig()))
    assert site.deployments.active("webcam") != before


def test_deployments_at_once_come_one_after_the_other(site: Site) -> None:
    killed = site.deployments.prepare(site.spec, TritonConfig())
    site.control.load(killed.detector)  # as somebody leaves it who is killed in the middle
    done: list[Deployment] = []
    failed: list[SightlineError] = []

    def deploy() -> None:
        control = Control(site.client, site.deployments.repository)
        try:
            done.append(
                Deployer(site.deployments, control, site.client).deploy(site.spec, TritonConfig())
            )
        except SightlineError as error:
            failed.append(error)

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    site.control.load("webcam")  # as somebody does who knows nothing of them
    for thread in threads:
        thread.join()
    assert failed == []
    newest = max(done, key=lambda one: one.number)
    site.check(newest)
    assert len(site.deployments.all("webcam")) <= 4  # three that are kept


def test_a_dead_step_is_brought_back_by_a_reload(site: Site) -> None:
    active = active_of(site)
    if not probe(site.client, "webcam").ok:
        site.deployer.reload("webcam")
    kill(site, active.preprocess)
    assert not probe(site.client, "webcam").ok
    site.control.unload("webcam_tensors")  # on purpose: it isn't brought back by others
    assert not site.deployer.mend("webcam")
    site.deployer.load("webcam")
    assert probe(site.client, "webcam").ok
    assert "webcam_tensors" not in site.loaded
    site.deployer.load("webcam_tensors")
    site.check(active)
    assert not site.deployer.mend("webcam")


def test_what_others_change_is_not_mended_meanwhile(site: Site) -> None:
    active = active_of(site)
    site.control.unload_all(active.stable)
    with model_turn(site.deployments.repository, "webcam", 5.0):
        assert not site.deployer.mend("webcam")
    assert site.deployer.mend("webcam")
    site.check(active)


@pytest.mark.parametrize("change", ["deploy", "remove"])
def test_a_dead_process_that_was_asked_keeps_nothing_loaded(site: Site, change: str) -> None:
    before = active_of(site)
    kill(site, before.detector)
    assert probe(site.client, "webcam_tensors").dead
    began_s = time.monotonic()
    if change == "deploy":
        site.check(site.deployer.deploy(site.spec, TritonConfig()))
    else:
        site.deployer.remove("webcam")
        assert site.loaded == set()
        assert list(site.deployments.repository.folder.glob(".webcam*")) == []
    assert time.monotonic() - began_s < UNLOAD_S  # nothing was waited for in vain


def test_slow_steps_and_many_who_ask_lose_nothing_in_a_swap(site: Site) -> None:
    slow = Deployer(SlowDeployments(site.deployments.repository), site.control, site.client)
    slow.deploy(site.spec, TritonConfig(warmup=False))
    with traffic(site, 8, ("webcam",)) as (answers, failures):
        while not answers:
            time.sleep(0.05)
        made = site.deployer.deploy(site.spec, TritonConfig(warmup=False))
        until = answers["webcam", str(made.number)] + 8
        while answers["webcam", str(made.number)] < until:
            time.sleep(0.05)
    assert failures == []
    assert len(answers) == 2
    site.check(made)


def test_a_server_that_was_started_anew_is_filled_again(site: Site) -> None:
    active = active_of(site)
    site.server.restart()
    assert site.loaded == set()
    assert site.deployer.mend("webcam")
    site.check(active)


def test_a_folder_that_triton_does_not_read_is_refused_and_stays_as_it_is(
    site: Site, tmp_path: Path
) -> None:
    before = active_of(site)
    for folder, why in ((tmp_path, "reads another folder"), (tmp_path / "none", "Make the folder")):
        elsewhere = Deployments(Repository(folder))
        deployer = Deployer(elsewhere, Control(site.client, elsewhere.repository), site.client)
        with pytest.raises(DeployError, match=why):
            deployer.deploy(site.spec, TritonConfig(instance_count=2))
    assert list(tmp_path.iterdir()) == []
    site.check(before)


def test_a_server_that_is_down_changes_nothing(site: Site) -> None:
    files = set(site.deployments.repository.names())
    with open_client(TritonOptions("127.0.0.1:9", timeout_s=1.0)) as client:
        control = Control(client, site.deployments.repository)
        deployer = Deployer(site.deployments, control, client)
        with pytest.raises(EngineAwayError):
            deployer.deploy(site.spec, TritonConfig())
        with pytest.raises(EngineAwayError):
            deployer.remove("webcam")
    assert set(site.deployments.repository.names()) == files


def test_a_removed_model_leaves_nothing(site: Site) -> None:
    site.deployer.remove("webcam")
    assert site.loaded == set()
    assert site.deployments.repository.names() == ()
    with pytest.raises(DeployError, match="isn't deployed"):
        site.deployer.remove("webcam")


def test_a_first_deployment_that_fails_leaves_nothing(site: Site) -> None:
    with pytest.raises(DeployError):
        site.deployer.deploy(site.spec, TritonConfig(gpus=(63,)))
    assert site.loaded == set()
    assert site.deployments.repository.names() == ()

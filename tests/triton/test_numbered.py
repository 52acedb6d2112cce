"""Deployments as files: numbered, pointed at, rolled back, and read whatever has become of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from sightline_engines.errors import DeployError
from sightline_engines.passport import Passport
from sightline_engines.triton import deployments as module
from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.deployment import LONGEST_NAME, Deployment, part_of
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.read_config import parameters_of, tensors_of
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.steps.names import RESERVED
from sightline_engines.types import ModelSpec


def config_of(repository: Repository, name: str) -> Any:
    return read_config(repository.read(name, "config.pbtxt") or "")


@pytest.mark.parametrize(
    "place", [("onnx", "network_of"), ("plan", "network_of"), ("plan", "staged")], ids="-".join
)
def test_what_is_deployed_is_what_its_digest_says(
    deployments: Deployments,
    webcam: ModelSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, str],
) -> None:
    kind, when = place
    path = tmp_path / f"model.{kind}"
    path.write_bytes(webcam.path.read_bytes() if kind == "onnx" else b"a plan")
    passport = Passport("X", "9.0", "10.3.0", "5", webcam.sha256, "", 1, 8, 8, (416, 416))
    spec = replace(webcam, path=path, sha256="", passport=passport if kind == "plan" else None)
    whole, there = path.read_bytes(), Repository if when == "staged" else module
    real = getattr(there, when)

    def changed(*given: Any) -> Any:
        done = real(*given)
        path.write_bytes(whole + b"\0")
        return done

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(there, when, changed)
        with pytest.raises(DeployError, match="was changed while it was deployed"):
            deployments.prepare(spec, TritonConfig(), built_from=webcam.path)
    assert deployments.repository.names() == ()
    path.write_bytes(whole)
    made = deployments.prepare(spec, TritonConfig(), built_from=webcam.path)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_deployment_comes_back_from_its_file(deployments: Deployments, webcam: ModelSpec) -> None:
    made = deployments.prepare(webcam, TritonConfig(instance_count=2), max_batch=4, artefact_id=5)
    assert deployments.all() == (made,)
    assert Deployment.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert (made.model, made.number, made.kind, made.artefact_id) == ("webcam", 1, "detector", 5)
    assert made.sha256 == webcam.sha256
    assert made.parts == ("webcam__1__preprocess", "webcam__1__detector", "webcam__1__postprocess")
    assert (made.pictures, made.tensors) == ("webcam", "webcam_tensors")
    assert [part_of(name) for name in made.parts[:1]] == [("webcam", 1, "preprocess")]
    assert deployments.active("webcam") is None


def test_the_stable_names_lead_to_a_deployment_with_its_number(
    deployments: Deployments, webcam: ModelSpec
) -> None:
    deployments.prepare(webcam, TritonConfig())
    made = deployments.prepare(webcam, TritonConfig(), max_batch=4)
    deployments.point(made)
    assert deployments.active("webcam") == made
    pictures = config_of(deployments.repository, "webcam")
    assert pictures.platform == "ensemble"
    assert list(pictures.version_policy.specific.versions) == [2]
    assert [step.model_name for step in pictures.ensemble_scheduling.step] == list(made.parts)
    (given,), (answered,) = tensors_of(pictures.input), tensors_of(pictures.output)
    assert (given.name, given.datatype, given.dims) == ("IMAGE_BYTES", "BYTES", (1,))
    assert (answered.name, answered.datatype, answered.dims) == ("OUTPUT_JSON", "BYTES", (1,))
    tensors = config_of(deployments.repository, "webcam_tensors")
    network = config_of(deployments.repository, made.detector)
    assert tensors_of(tensors.input) == tensors_of(network.input)
    assert tensors_of(tensors.output) == tensors_of(network.output)
    assert (pictures.max_batch_size, tensors.max_batch_size, network.max_batch_size) == (4, 4, 4)
    for name in (*made.stable, *made.parts):
        told = parameters_of(config_of(deployments.repository, name))
        assert told["sightline_model"] == "webcam"
        assert told["sightline_number"] == "2"
        assert told["sightline_sha256"] == webcam.sha256
        assert told["sightline_part"]


def test_urgent_requests_go_first_at_every_part(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig(priority_levels=3))
    for name in made.parts:
        batching = config_of(deployments.repository, name).dynamic_batching
        assert (batching.priority_levels, batching.default_priority_level) == (3, 2)


def test_pictures_that_wait_are_counted_where_nothing_is_set(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    policy = config_of(deployments.repository, made.preprocess).dynamic_batching
    assert policy.default_queue_policy.max_queue_size == 256
    assert policy.default_queue_policy.default_timeout_microseconds > 0


def test_a_queue_limit_holds_where_pictures_come_in_and_at_the_network(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig(max_queue_size=5, step_instances=3))
    first, network, last = (config_of(deployments.repository, name) for name in made.parts)
    for config, most in ((first, 5), (network, 5), (last, 0)):
        assert config.dynamic_batching.default_queue_policy.max_queue_size == most
    assert [config.instance_group[0].count for config in (first, network, last)] == [3, 1, 3]


def test_rolling_back_goes_to_the_newest_that_is_kept(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = [deployments.prepare(shades, TritonConfig()) for _ in range(5)]
    assert [one.number for one in deployments.all("shades")] == [5, 4, 3, 2, 1]
    deployments.point(made[1])
    assert deployments.previous("shades") == made[0]
    assert [one.number for one in deployments.prune("shades", keep=2)] == [3]  # 1: to roll back to
    deployments.discard(made[0])
    assert deployments.previous("shades") is None
    deployments.point(made[4])
    assert deployments.previous("shades") == made[3]
    deployments.discard(made[3])
    assert deployments.previous("shades") == made[1]
    with pytest.raises(DeployError, match="Deployment 5 of 'shades' serves"):
        deployments.discard(made[4])
    with pytest.raises(DeployError, match="Deployment 1 of 'shades' is gone"):
        deployments.point(made[0])
    names = deployments.repository.names()
    assert {part[1] for part in map(part_of, names) if part} == {2, 5}


def test_a_rollback_never_leads_to_what_was_rolled_back(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    first, second = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(second)
    deployments.point(first)
    third = deployments.prepare(shades, TritonConfig())
    deployments.point(third)
    assert deployments.previous("shades") == first
    assert deployments.prune("shades", keep=1) == (second,)
    assert deployments.previous("shades") == first
    deployments.point(first)
    assert deployments.previous("shades") is None


def altered(deployments: Deployments, made: Deployment, text: str | None) -> None:
    """Write something else, or by default a newer version's fields, as a deployment's file."""
    file = deployments.repository.folder / made.detector / "deployment.json"
    if text is None:
        told = json.loads(file.read_text())
        told["of_tomorrow"] = told["config"]["of_tomorrow"] = 1
        told["config"]["instance_count"] = "as many as fit"
        text = json.dumps(told)
    file.write_text(text)


def test_a_deployment_of_a_newer_version_is_read_as_far_as_it_is_known(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    deployments.point(made)
    altered(deployments, made, None)
    assert deployments.active("shades") == made
    assert deployments.prepare(shades, TritonConfig()).number == 2
    assert deployments.active("shades") == made


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"number": 1}', "\x00"])
def test_a_deployment_that_can_not_be_read_is_never_removed(
    deployments: Deployments, shades: ClassifierSpec, text: str
) -> None:
    made, other = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(made)
    altered(deployments, made, text)
    altered(deployments, other, text)
    before = deployments.repository.names()
    with pytest.raises(DeployError, match=r"Deployment 1 of 'shades' serves.*another version"):
        deployments.prepare(shades, TritonConfig())
    deployments.prune("shades", keep=0)
    assert deployments.repository.names() == before
    assert deployments.repository.folders("shades") == ("1",)
    deployments.forget("shades")
    assert deployments.repository.names() == ()
    assert deployments.prepare(shades, TritonConfig()).number == 3


def test_a_deployment_that_can_not_be_read_stays_when_another_serves(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    first, second = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(second)
    altered(deployments, first, "")
    third = deployments.prepare(shades, TritonConfig())
    deployments.discard(third)
    assert set(first.parts) < set(deployments.repository.names())
    assert deployments.previous("shades") is None


def test_what_is_forgotten_is_gone_and_its_numbers_go_on(
    deployments: Deployments, shades: ClassifierSpec, webcam: ModelSpec
) -> None:
    other = deployments.prepare(webcam, TritonConfig())
    deployments.point(deployments.prepare(shades, TritonConfig()))
    deployments.forget("shades")
    deployments.forget("never-there")
    assert deployments.all() == (other,)
    assert deployments.repository.names() == tuple(sorted(other.parts))
    assert deployments.prepare(shades, TritonConfig()).number == 2


def test_stable_names_that_a_kill_set_apart_are_brought_together(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    first, second = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(second)
    ahead = deployments.repository.read("shades_tensors", "config.pbtxt")
    deployments.point(first)
    deployments.repository.put("shades_tensors", "config.pbtxt", ahead or "")
    assert deployments.active("shades") == first
    deployments.prepare(shades, TritonConfig())
    told = parameters_of(config_of(deployments.repository, "shades_tensors"))
    assert told["sightline_number"] == "1"
    deployments.discard(second)


@pytest.mark.parametrize("name", ["shades", "shades_tensors"])
def test_a_model_that_somebody_else_put_there_is_left_alone(
    deployments: Deployments, shades: ClassifierSpec, name: str
) -> None:
    deployments.repository.place(name, {"config.pbtxt": 'backend: "python"', "1/model.py": "x"})
    with pytest.raises(DeployError, match=f"'{name}' that Sightline didn't make"):
        deployments.prepare(shades, TritonConfig())
    with pytest.raises(DeployError, match="didn't make"):
        deployments.forget("shades")
    assert deployments.repository.names() == (name,)


@pytest.mark.parametrize("name", ["a__1__detector", "a_tensors", "a__b", "a" * 112])
def test_a_name_that_means_a_part_is_refused(
    deployments: Deployments, shades: ClassifierSpec, name: str
) -> None:
    with pytest.raises(DeployError, match="Rename the model"):
        deployments.prepare(replace(shades, name=name), TritonConfig())
    assert deployments.repository.names() == ()


def test_the_longest_name_leaves_room_for_its_parts(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    long = replace(shades, name="a" * LONGEST_NAME)
    deployments.repository.folder_of(f"{long.name}__999999999__postprocess")
    deployments.point(deployments.prepare(long, TritonConfig()))


@pytest.mark.parametrize("name", [*sorted(RESERVED), "sightline_bgr"])
def test_an_output_named_like_a_tensor_of_the_steps_is_refused(
    deployments: Deployments, shades: ClassifierSpec, name: str
) -> None:
    model = onnx.load(shades.path)
    model.graph.node[-1].output[0] = model.graph.output[0].name = name
    onnx.save(model, shades.path)
    with pytest.raises(DeployError, match=f"its output '{name}'.*Rename the output"):
        deployments.prepare(shades, TritonConfig())
    assert deployments.repository.names() == ()


@pytest.mark.parametrize(
    ("altered", "config", "said"),
    [
        ({"static_batch": 4}, TritonConfig(), "exactly 4 pictures"),
        ({"sha256": "0" * 64}, TritonConfig(), "SHA-256 differs"),
        ({"path": Path("m.xml")}, TritonConfig(), "accelerator 'openvino'"),
        ({"path": Path("gone.onnx")}, TritonConfig(), "can't be read"),
        ({"path": Path("m.plan")}, TritonConfig(), "no passport"),
        ({}, TritonConfig(platform="tensorrt_plan"), "takes a TensorRT plan"),
        ({}, TritonConfig(versions=(2,)), "has version 1 alone"),
        ({}, TritonConfig(preferred_batch_sizes=(64,)), "batches of 8 at most"),
    ],
)
def test_what_triton_can_not_take_is_refused_with_the_way_out(
    deployments: Deployments,
    webcam: ModelSpec,
    altered: dict[str, Any],
    config: TritonConfig,
    said: str,
) -> None:
    with pytest.raises(DeployError, match=said):
        deployments.prepare(replace(webcam, **altered), config)
    assert deployments.repository.names() == ()


@pytest.mark.parametrize("most", [0, -1, 10_000])
def test_a_batch_that_makes_no_sense_is_refused(
    deployments: Deployments, webcam: ModelSpec, most: int
) -> None:
    with pytest.raises(DeployError, match="max_batch must be from 1 to 1024"):
        deployments.prepare(webcam, TritonConfig(), max_batch=most)

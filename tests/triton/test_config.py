"""What goes into a config.pbtxt: validated, made through protobuf, and read back the same."""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup, ModelQueuePolicy

from sightline_engines.assets import shipped_model
from sightline_engines.errors import DeployError, ProviderError
from sightline_engines.passport import Passport
from sightline_engines.recognise import recognise
from sightline_engines.triton.config import (
    ConfigTensor,
    TritonConfig,
    config_text,
    model_config,
    read_config,
)
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.read_config import parameters_of, tensors_of
from sightline_engines.triton.repository import Repository
from sightline_engines.types import ModelSpec

INPUT = ConfigTensor("sightline_bgr", "UINT8", (32, 48, 3))
OUTPUT = ConfigTensor("boxes", "FP32", (-1, 7))

counts = st.integers(1, 64)
rising = st.lists(st.integers(1, 8), max_size=4, unique=True).map(lambda v: tuple(sorted(v)))
valid = st.builds(
    TritonConfig,
    instance_count=counts,
    preferred_batch_sizes=rising,
    max_queue_delay_us=st.integers(0, 10_000_000),
    gpus=st.sampled_from([None, (), (0,), (0, 3)]),
    max_queue_size=st.none() | st.integers(1, 1000),
    queue_timeout_us=st.none() | st.integers(1, 10**9),
    priority_levels=st.integers(0, 100),
    versions=st.sampled_from(["all", 1, 3, (1,), (2, 5)]),
    warmup=st.booleans(),
    response_cache=st.booleans(),
    step_instances=counts,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=5,
)


def made(config: TritonConfig, max_batch: int = 8, **more: Any) -> Any:
    return model_config("a-model", (INPUT,), (OUTPUT,), config, max_batch, **more)


@given(valid)
def test_a_valid_config_comes_back_from_json_and_from_text(config: TritonConfig) -> None:
    assert TritonConfig.from_dict(config.to_dict()) == config
    message = made(config, parameters={"sightline_model": "é \"\n'"})
    assert read_config(config_text(message)) == message


@given(st.dictionaries(st.sampled_from([*TritonConfig().to_dict(), "odd"]), anything))
def test_whatever_is_asked_for_is_taken_or_refused(data: dict[str, Any]) -> None:
    config = None
    with suppress(ValueError):  # no other error
        config = TritonConfig.from_dict(data)
    if config is None:
        return
    assert TritonConfig.from_dict(config.to_dict()) == config
    if max(config.preferred_batch_sizes, default=0) <= 8:
        made(config)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"odd": 1}, "odd is no setting"),
        ({"platform": "pytorch"}, "onnxruntime, tensorrt_plan"),
        ({"instance_count": 0}, "instance_count must be a whole number from 1"),
        ({"instance_count": True}, "instance_count"),
        ({"preferred_batch_sizes": [8, 4]}, "rising"),
        ({"preferred_batch_sizes": "48"}, "rising"),
        ({"max_queue_delay_us": -1}, "from 0"),
        ({"gpus": [0, 0]}, "rising numbers of GPUs"),
        ({"versions": []}, "versions"),
        ({"accelerator": "cuda"}, "tensorrt, openvino"),
        ({"accelerator": "openvino", "accelerator_precision": "fp16"}, "fp32 with"),
        ({"accelerator_precision": "fp16"}, "fp32 without"),
        ({"accelerator": "tensorrt", "gpus": []}, "needs a GPU"),
        ({"accelerator": "openvino", "gpus": [0]}, "runs on the CPU"),
        ({"platform": "tensorrt_plan", "gpus": []}, "needs a GPU"),
        ({"platform": "tensorrt_plan", "accelerator": "tensorrt"}, "leave it empty"),
        ({"dynamic_batching": False, "max_queue_size": 5}, "belongs to dynamic batching"),
        ({"dynamic_batching": False, "preferred_batch_sizes": [2]}, "belongs to dynamic batching"),
    ],
)
def test_what_cannot_be_is_refused_with_what_could(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TritonConfig.from_dict(data)


def test_a_preferred_batch_that_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="preferred_batch_sizes has 16, but a-model takes"):
        made(TritonConfig(preferred_batch_sizes=(4, 16)))


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ((), "needs an input and an output"),
        ((ConfigTensor("x", "FP32", ()),), "dims"),
        ((ConfigTensor("x", "FP32", (0, 3)),), "dims"),
        ((ConfigTensor("x", "STRING", (1,)),), "BYTES"),
        ((ConfigTensor("x", "FLOAT", (1,)),), "no datatype 'FLOAT'"),
    ],
)
def test_tensors_that_triton_does_not_know_are_refused(
    ports: tuple[ConfigTensor, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        model_config("m", ports, (OUTPUT,), TritonConfig(), 1)


@pytest.mark.parametrize("text", ["{", "name: 5", "no_such_field: 1", "input [{dims: x}]"])
def test_a_text_that_is_no_config_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"no config.pbtxt: 1:"):
        read_config(text)


def test_without_tritonclient_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("tritonclient.grpc.model_config_pb2")
    monkeypatch.setitem(sys.modules, "tritonclient.grpc.model_config_pb2", None)
    with pytest.raises(ProviderError, match=r"sightline-engines\[triton\]"):
        made(TritonConfig())


def test_a_batch_leaves_at_once_unless_it_is_told_to_wait() -> None:
    assert made(TritonConfig()).HasField("dynamic_batching")
    assert made(TritonConfig()).dynamic_batching.max_queue_delay_microseconds == 0
    batching = made(
        TritonConfig(preferred_batch_sizes=(4, 8), max_queue_delay_us=500)
    ).dynamic_batching
    assert list(batching.preferred_batch_size) == [4, 8]
    assert batching.max_queue_delay_microseconds == 500
    assert not made(TritonConfig(dynamic_batching=False)).HasField("dynamic_batching")


def test_what_waits_too_long_is_refused_and_not_kept() -> None:
    config = TritonConfig(max_queue_size=64, queue_timeout_us=30_000, priority_levels=3)
    batching = made(config).dynamic_batching
    policy = batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (64, 30_000)
    assert policy.timeout_action == ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override
    assert (batching.priority_levels, batching.default_priority_level) == (3, 2)


@pytest.mark.parametrize(
    ("config", "kind", "gpus"),
    [
        (TritonConfig(), "KIND_AUTO", []),
        (TritonConfig(gpus=()), "KIND_CPU", []),
        (TritonConfig(gpus=(0, 2)), "KIND_GPU", [0, 2]),
        (TritonConfig(platform="tensorrt_plan"), "KIND_GPU", []),
        (TritonConfig(accelerator="tensorrt"), "KIND_GPU", []),
        (TritonConfig(accelerator="openvino"), "KIND_CPU", []),
    ],
)
def test_instances_run_where_they_can(config: TritonConfig, kind: str, gpus: list[int]) -> None:
    (group,) = made(config).instance_group
    assert ModelInstanceGroup.Kind.Name(group.kind) == kind
    assert list(group.gpus) == gpus


def test_accelerators_are_named_as_the_onnxruntime_backend_documents_them() -> None:
    config = TritonConfig(
        accelerator="tensorrt", accelerator_precision="fp16", accelerator_workspace_bytes=2**31
    )
    (trt,) = made(config).optimization.execution_accelerators.gpu_execution_accelerator
    assert trt.name == "tensorrt"
    assert dict(trt.parameters) == {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": "2147483648",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/sightline-tensorrt",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/tmp/sightline-tensorrt",
    }
    accelerators = made(TritonConfig(accelerator="openvino")).optimization.execution_accelerators
    assert [one.name for one in accelerators.cpu_execution_accelerator] == ["openvino"]
    assert not made(TritonConfig()).HasField("optimization")


def test_the_warm_up_runs_the_smallest_and_the_largest_batch_of_the_inputs_own_type() -> None:
    warmups = made(TritonConfig()).model_warmup
    assert [(one.batch_size, one.count) for one in warmups] == [(1, 1), (8, 1)]
    fed = warmups[0].inputs["sightline_bgr"]
    assert (fed.data_type, list(fed.dims), fed.zero_data) == (
        DataType.TYPE_UINT8,
        [32, 48, 3],
        True,
    )
    assert not made(TritonConfig(warmup=False)).model_warmup
    # 0 would be skipped by Triton.
    assert [one.batch_size for one in made(TritonConfig(), max_batch=0).model_warmup] == [1]


def test_a_request_may_set_its_own_timeout_where_a_queue_has_a_limit() -> None:
    policy = made(TritonConfig(max_queue_size=64)).dynamic_batching.default_queue_policy
    assert policy.allow_timeout_override
    assert policy.default_timeout_microseconds > 0  # with none Triton ignores the request's


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({}, TritonConfig()),
        ({"instance_count": 2, "of_tomorrow": [1]}, TritonConfig(instance_count=2)),
        ({"instance_count": "many", "gpus": [0]}, TritonConfig(gpus=(0,))),
        ({"platform": "tensorrt_plan", "accelerator": "openvino"}, "tensorrt_plan"),
    ],
)
def test_what_another_version_wrote_is_read_as_far_as_it_is_known(
    data: dict[str, Any], wanted: TritonConfig | str
) -> None:
    if isinstance(wanted, str):
        wanted = TritonConfig(platform="tensorrt_plan")
    assert TritonConfig.read_back(data) == wanted


@given(valid)
def test_what_this_version_wrote_is_read_back_whole(config: TritonConfig) -> None:
    assert TritonConfig.read_back(config.to_dict()) == config


def test_int8_needs_a_file_that_is_quantised(deployments: Deployments, webcam: ModelSpec) -> None:
    config = TritonConfig(accelerator="tensorrt", accelerator_precision="int8")
    with pytest.raises(DeployError, match=r"isn't quantised.*ask for fp16"):
        deployments.prepare(webcam, config)
    fp16 = replace(config, accelerator_precision="fp16")
    assert deployments.prepare(webcam, fp16).config.accelerator_precision == "fp16"


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (1, "latest {\n    num_versions: 1"),
        ((2, 5), "specific {\n    versions: 2\n    versions: 5"),
        ("all", "all {"),
    ],
)
def test_versions_are_served_as_asked(versions: Any, text: str) -> None:
    assert text in config_text(made(TritonConfig(versions=versions)))


def test_tensors_and_parameters_read_back_as_they_were_given() -> None:
    message = made(TritonConfig(), parameters={"sightline_number": "7"})
    assert tensors_of(message.input) == (INPUT,)
    assert tensors_of(message.output) == (OUTPUT,)
    assert parameters_of(message) == {"sightline_number": "7"}
    text = model_config(
        "t", (ConfigTensor("a", "BYTES", (1,)),), (OUTPUT,), TritonConfig(warmup=False), 1
    )
    assert text.input[0].data_type == DataType.TYPE_STRING
    assert tensors_of(text.input)[0].datatype == "BYTES"


@pytest.fixture
def deployments(tmp_path: Path) -> Deployments:
    return Deployments(Repository(tmp_path / "repository"))


@pytest.fixture(scope="module")
def webcam() -> ModelSpec:
    return replace(recognise(shipped_model()), name="webcam")


def config_of(deployments: Deployments, name: str) -> Any:
    return read_config(deployments.repository.read(name, "config.pbtxt") or "")


def planned(folder: Path, webcam: ModelSpec, largest: int) -> ModelSpec:
    """Return the spec of a plan, whose bytes nobody here can read, beside what it is built from."""
    folder.mkdir()
    path = folder / "webcam.plan"
    path.write_bytes(b"a plan")
    digest = hashlib.sha256(b"a plan").hexdigest()
    numbers = (1, largest, largest)
    passport = Passport(
        "NVIDIA X", "9.0", "10.3.0", "560.35", webcam.sha256, digest, *numbers, (416, 416)
    )
    return replace(webcam, path=path, sha256=digest, precision="fp16", passport=passport)


def test_a_plan_is_described_by_the_model_that_it_was_built_from(
    deployments: Deployments, webcam: ModelSpec, tmp_path: Path
) -> None:
    plan = planned(tmp_path / "plans", webcam, 16)
    config = TritonConfig(gpus=(0, 1), instance_count=2, preferred_batch_sizes=(8, 16))
    with pytest.raises(DeployError, match="isn't there"):
        deployments.prepare(plan, config)
    made = deployments.prepare(plan, config, max_batch=64, built_from=webcam.path)
    (tmp_path / "plans" / "source.onnx").write_bytes(webcam.path.read_bytes())
    assert deployments.prepare(plan, config, max_batch=64).max_batch == 16
    assert made.platform == made.config.platform == "tensorrt_plan"
    assert made.max_batch == 16
    folder = deployments.repository.folder / made.detector
    assert (folder / "1" / "model.plan").read_bytes() == b"a plan"
    network = config_of(deployments, made.detector)
    assert (network.platform, network.backend) == ("tensorrt_plan", "tensorrt")
    assert network.default_model_filename == "model.plan"
    (group,) = network.instance_group
    assert (list(group.gpus), group.count, list(group.profile)) == ([0, 1], 2, ["0", "1"])
    assert "TYPE_UINT8" in (deployments.repository.read(made.detector, "config.pbtxt") or "")
    onnx = config_of(deployments, deployments.prepare(webcam, TritonConfig()).detector)
    assert tensors_of(network.input) == tensors_of(onnx.input)
    assert tensors_of(network.output) == tensors_of(onnx.output)
    assert network.max_batch_size == 16


def test_a_plan_for_single_pictures_is_not_batched(
    deployments: Deployments, webcam: ModelSpec, tmp_path: Path
) -> None:
    plan = planned(tmp_path / "plans", webcam, 1)
    made = deployments.prepare(plan, TritonConfig(), max_batch=8, built_from=webcam.path)
    network = config_of(deployments, made.detector)
    assert (made.max_batch, network.max_batch_size) == (1, 0)
    assert list(network.input[0].dims) == [1, 416, 416, 3]
    assert list(network.instance_group[0].profile) == []

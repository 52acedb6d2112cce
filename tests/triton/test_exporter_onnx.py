"""Any module as ONNX: compared with the module, in three precisions, and left as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sightline_engines.convert.options import Precision
from sightline_engines.convert.parity import ParityError
from sightline_engines.convert.quantise import symmetric_problem
from sightline_engines.errors import ModelFileError
from sightline_engines.exporter import ExportConfig, ServingExporter, export_to_onnx
from sightline_engines.exporter.onnx_files import existing_onnx
from sightline_engines.exporter.parity import LIMITS, compare
from sightline_engines.exporter.samples import read_calibration
from tests.triton.exported import (
    PAIR,
    PICTURE,
    answered_by,
    classifier,
    import_torch,
    pair,
    pictures,
    write_samples,
)


def run(path: Path, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return what an ONNX file answers."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def test_the_file_answers_as_the_module_whatever_the_batch_and_the_open_sides(
    tmp_path: Path,
) -> None:
    module = classifier()
    config = ExportConfig(
        "m", input_shapes=PICTURE, dynamic_axes={"input": {2: "h", 3: "w"}}, opset_version=16
    )
    made = export_to_onnx(module, config, tmp_path / "deep" / "m.onnx")
    assert module.training
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.onnx"]
    assert (made.inputs[0].shape, made.outputs[0].shape) == ((-1, 3, -1, -1), (-1, 10))
    assert (made.opset, made.precision, made.notes) == (16, "fp32", ())
    assert made.parity is not None
    assert made.parity.samples == 3  # one, several, and another size
    for feed in (*pictures(1, batch=5), *pictures(1, batch=2, side=64)):
        expected = answered_by(module, feed).numpy()
        found = run(made.file.path, dict(feed))["output0"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert existing_onnx(made.file.path, config).file == made.file


def test_a_dict_of_outputs_keeps_its_names_unless_others_are_given(tmp_path: Path) -> None:
    named = export_to_onnx(pair(), ExportConfig("m", **PAIR), tmp_path / "a.onnx")
    assert [port.name for port in named.outputs] == ["score", "hidden"]
    assert [(p.name, p.datatype, p.shape) for p in named.inputs] == [
        ("ids", "int64", (-1, -1)), ("dense", "float32", (-1, 8)),
    ]  # fmt: skip
    config = ExportConfig("m", output_names=("one", "two"), **PAIR)
    renamed = export_to_onnx(pair(), config, tmp_path / "b.onnx")
    assert [port.name for port in renamed.outputs] == ["one", "two"]
    wrong = ExportConfig("m", output_names=("one",), **PAIR)
    with pytest.raises(ModelFileError, match="2 outputs"):
        export_to_onnx(pair(), wrong, tmp_path / "c.onnx")


@pytest.mark.parametrize("symmetric", [False, True])
def test_int8_is_calibrated_on_samples_and_symmetric_for_tensorrt(
    tmp_path: Path, symmetric: bool
) -> None:
    config = ExportConfig("m", "int8", input_shapes=PICTURE)
    made = export_to_onnx(
        classifier(),
        config,
        tmp_path / "m.onnx",
        calibration=write_samples(tmp_path / "samples.npz"),
        symmetric=symmetric,
    )
    model = onnx.load(made.file.path)
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    assert (symmetric_problem(model) is None) == symmetric
    assert "few samples (8)" in made.notes[0]
    assert existing_onnx(made.file.path, config).precision == "int8"


def test_fp16_keeps_its_ends_in_float32(tmp_path: Path) -> None:
    config = ExportConfig("m", "fp16", **PAIR)
    made = export_to_onnx(pair(), config, tmp_path / "m.onnx")
    kinds = {tensor.data_type for tensor in onnx.load(made.file.path).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert {port.datatype for port in made.outputs} == {"float32"}


def test_a_module_without_batches_is_exported_as_it_is(tmp_path: Path) -> None:
    torch = import_torch()
    config = ExportConfig("m", max_batch_size=0, input_shapes={"x": (4, 3)})
    made = export_to_onnx(torch.nn.Linear(3, 2), config, tmp_path / "m.onnx")
    assert (made.inputs[0].shape, made.outputs[0].shape) == ((4, 3), (4, 2))


def test_torchscript_is_exported_like_any_module(tmp_path: Path) -> None:
    torch = import_torch()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        script = torch.jit.trace(classifier().eval(), torch.zeros(1, 3, 32, 32))
    made = export_to_onnx(script, ExportConfig("m", input_shapes=PICTURE), tmp_path / "m.onnx")
    feed = pictures(1)[0]
    np.testing.assert_allclose(
        run(made.file.path, dict(feed))["output0"], answered_by(script, feed).numpy(), atol=1e-5
    )


def failing_modules() -> list[tuple[str, Any, dict[str, Any], str]]:
    """Return what can't be exported, and what is said of it."""
    nn: Any = import_torch().nn

    class _Text(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> str:
            return "no tensor"

    class _Choosing(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x * 2 if float(x.sum()) > 0 else x - 1

    class _Endless(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x / 0

    class _Constant(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x.reshape(x.shape[0], int(x.shape[1]))

    shape = {"input_shapes": {"x": (3,)}}
    open_side = shape | {"dynamic_axes": {"x": {1: "length"}}}
    return [
        ("a wrong shape", nn.Linear(5, 2), shape, r"fails on x \[2, 3\].*Are the input shapes"),
        ("no tensor", _Text(), shape, "answers with str"),
        ("a choice by value", _Choosing(), shape, "tracing can't see"),
        ("a constant size", _Constant(), open_side, "Leave those axes out of dynamic_axes"),
        ("no numbers", _Endless(), shape, "no finite number"),
        ("int8 of nothing", nn.ReLU(), shape | {"precision": "int8"}, "nothing to make INT8"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_what_cannot_be_exported_says_why_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    _, module, words, said = failing_modules()[number]
    int8 = words.get("precision") == "int8"
    samples = [{"x": np.ones((1, 3), np.float32)}] if int8 else None
    with pytest.raises(ModelFileError, match=said):
        export_to_onnx(module, ExportConfig("m", **words), tmp_path / "m.onnx", calibration=samples)
    assert list(tmp_path.iterdir()) == []


def test_int8_without_samples_is_refused_before_the_module_runs(tmp_path: Path) -> None:
    class Untouched:
        """Fails at whatever is asked of it."""

    module: Any = Untouched()
    with pytest.raises(ModelFileError, match="INT8 needs inputs like those"):
        export_to_onnx(module, ExportConfig("m", "int8"), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="no module to export"):
        ServingExporter(None, ExportConfig("m")).export_onnx()


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([], "no calibration samples"),
        ([{}], "sample 0 holds nothing"),
        ([{"other": np.zeros((1, 3), np.float32)}], "holds other"),
        ([{"x": np.zeros((1, 4), np.float32)}], r"\[1, 4\]; it must be float32 \[any, 3\]"),
        ([{"x": np.zeros(3, np.float32)}], r"\[3\]; it must be"),
        ([{"x": np.zeros((1, 3), np.complex64)}], "complex64"),
    ],
)
def test_calibration_that_does_not_fit_is_refused(
    samples: list[dict[str, NDArray[Any]]], said: str
) -> None:
    with pytest.raises(ModelFileError, match=said):
        read_calibration(ExportConfig("m", input_shapes={"x": (3,)}), samples)


def test_an_npz_holds_a_sample_a_row_of_each_input(tmp_path: Path) -> None:
    config = ExportConfig("m", input_shapes={"x": (3,), "y": (2,)}, input_types={"y": "int64"})
    path = tmp_path / "samples.npz"
    np.savez(path, x=np.zeros((4, 3), np.float32), y=np.ones((4, 2), np.int64))
    found = read_calibration(config, path)
    assert [(one["x"].shape, one["y"].shape) for one in found] == [((1, 3), (1, 2))] * 4
    np.savez(path, x=np.zeros((4, 3), np.float32), y=np.ones((3, 2), np.int64))
    with pytest.raises(ModelFileError, match=r"holds x \(4\), y \(3\)"):
        read_calibration(config, path)
    path.write_bytes(b"no zip")
    with pytest.raises(ModelFileError, match=r"numpy\.savez"):
        read_calibration(config, path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"input_shapes": {"x": (4, 3)}, "max_batch_size": 0, "precision": "fp16"}, "is fp32, but"),
        ({"input_shapes": {"x": (4, 2)}, "max_batch_size": 0}, r"takes x float32 \[4, 3\]"),
        ({"input_shapes": {"y": (4, 3)}, "max_batch_size": 0}, "but y float32"),
    ],
)
def test_an_earlier_export_of_something_else_is_refused(
    tmp_path: Path, words: dict[str, Any], said: str
) -> None:
    torch = import_torch()
    config = ExportConfig("m", max_batch_size=0, input_shapes={"x": (4, 3)})
    made = export_to_onnx(torch.nn.Linear(3, 2), config, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=said):
        existing_onnx(made.file.path, ExportConfig("m", **words))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.sampled_from(["fp32", "int8"]))
def test_a_model_is_always_at_parity_with_itself(values: list[float], precision: Precision) -> None:
    answer = [{"y": np.array(values, np.float32)}]
    assert compare(answer, answer, "itself", precision).error == 0


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_limit_of_a_precision_is_kept(precision: Precision) -> None:
    expected: list[dict[str, NDArray[Any]]]
    near: list[dict[str, NDArray[Any]]]
    expected = [{"y": np.ones(4, np.float32), "n": np.arange(4)}]
    limit = LIMITS[precision]
    near = [{"y": np.full(4, 1 + 0.9 * limit, np.float32), "n": np.arange(4)}]
    assert compare(expected, near, "it", precision).error == pytest.approx(0.9 * limit, rel=0.01)
    others: list[dict[str, NDArray[Any]]] = [
        {"y": np.full(4, 1 + 1.1 * limit, np.float32), "n": np.arange(4)},
        {"y": np.full(4, np.nan, np.float32), "n": np.arange(4)},
        {"y": np.ones(4, np.float32), "n": np.arange(4)[::-1]},
        {"y": np.ones((4, 1), np.float32), "n": np.arange(4)},
        {"n": np.arange(4)},
    ]
    for wrong in others:
        with pytest.raises(ParityError):
            compare(expected, [wrong], "it", precision)

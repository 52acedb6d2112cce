"""The network, filled from the real YOLOX-Nano file, is that file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

import onnxruntime as ort  # noqa: E402

from sightline_training.letterbox import letterbox, to_tensor  # noqa: E402
from sightline_training.network import Conv, Detector  # noqa: E402
from sightline_training.samples import read_picture  # noqa: E402
from sightline_training.weights import fill, initial, original, widen_stem  # noqa: E402


def test_filled_network_reproduces_the_file_on_a_real_picture(shared_data: Path) -> None:
    path = shared_data / "weights/yolox_nano.onnx"
    bgr = read_picture(shared_data / "coco/images/000000000009.jpg")
    canvas, _ = letterbox(bgr, 416, 416)
    tensor = to_tensor(canvas)
    expected = ort.InferenceSession(str(path)).run(None, {"images": tensor})[0]
    with torch.no_grad():
        raw = original(path).eval()(torch.from_numpy(tensor))
    raw[..., 4:] = raw[..., 4:].sigmoid()
    assert np.abs(raw.numpy() - expected).max() < 2e-3


def test_two_class_network_starts_with_the_same_persons(shared_data: Path) -> None:
    path = shared_data / "weights/yolox_nano.onnx"
    canvas, _ = letterbox(read_picture(shared_data / "coco/images/000000000009.jpg"), 320, 320)
    tensor = torch.from_numpy(to_tensor(canvas))
    with torch.no_grad():
        whole, two = original(path).eval()(tensor), initial(path).eval()(tensor)
    assert two.shape == (1, 40**2 + 20**2 + 10**2, 7)
    torch.testing.assert_close(two[..., :6], whole[..., :6])


def test_wide_stem_equals_unshuffle_and_three_by_three() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 12, 3, 3)).astype(np.float32)
    image = torch.rand(1, 3, 16, 16)
    patches = [image[..., dy::2, dx::2] for dy, dx in ((0, 0), (1, 0), (0, 1), (1, 1))]
    expected = torch.nn.functional.conv2d(
        torch.cat(patches, 1), torch.from_numpy(weight), padding=1
    )
    layer = Conv(3, 4, 6, 2).conv
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(widen_stem(weight)))
        assert layer.bias is not None
        layer.bias.zero_()
        torch.testing.assert_close(layer(image), expected, atol=1e-5, rtol=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    weights = [(np.zeros((1, 12, 3, 3), np.float32), np.zeros(1, np.float32))]
    with pytest.raises(ValueError, match="1 convolutions, the network 113"):
        fill(Detector(), weights)

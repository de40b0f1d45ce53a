"""ONNX files of every layer and model, run by onnxruntime; what the exporter takes and refuses."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from layers import LAYERS, flat, given, made
from test_export import AGREEING, CANNOT, causal, module

import minidl
from minidl import nn
from minidl.export import TraceError, to_onnx
from minidl.onnx import export, is_in_onnx_export
from minidl.train import MODELS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

HERE = SimpleNamespace(T=minidl, nn=nn, F=nn.functional, tensor=lambda a: minidl.tensor(np.asarray(a)))


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of initialisers that it folds
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def agrees(model, module, *inputs) -> None:
    """The file gives what the module gives in eval mode."""
    module.eval()
    with minidl.no_grad():
        want = [t.array for t in flat(module(*inputs))]
    runner = session(model)
    feed = {i.name: t.array for i, t in zip(runner.get_inputs(), flat(inputs), strict=True)}
    for a, b in zip(runner.run(None, feed), want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(b).max(initial=0.0)))


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in CANNOT])
def test_layers(name):
    module, inputs = made(HERE, name, minidl.float32), given(HERE, name, minidl.float32, 2)
    agrees(to_onnx(module, tuple(inputs)), module, *inputs)


@pytest.mark.parametrize("name", CANNOT)
def test_layers_that_cannot(name):
    module, inputs = made(HERE, name, minidl.float32), given(HERE, name, minidl.float32, 2)
    with pytest.raises(TraceError):
        to_onnx(module, tuple(inputs))


@pytest.mark.parametrize("opset", [17, 18, 20, 22])
@pytest.mark.parametrize("name", MODELS)
def test_models_for_any_batch(name, opset):
    model, x = MODELS[name]((1, 8, 8), 10), minidl.randn(1, 1, 8, 8)
    made = to_onnx(model, x, dynamic_axes={"input": {0: "batch"}}, opset_version=opset)
    assert made.opset_import[0].version == opset and made.producer_name == "minidl"
    assert made.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    names = {i.name for i in made.graph.initializer}
    assert {k for k, _ in model.named_parameters()} - names == (
        {f"lstm.{k}" for k in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")} if name == "lstm" else set()
    )
    for n in (1, 2, 7):
        agrees(made, model, minidl.randn(n, 1, 8, 8))


@pytest.mark.parametrize("name", AGREEING)
def test_programs_at_other_sizes(name):
    model = module(AGREEING[name])
    made = to_onnx(model, minidl.randn(2, 4, 6), dynamic_axes={"input": {0: "n"}})
    for n in (5, 1):
        agrees(made, model, minidl.randn(n, 4, 6))


INDICES = {
    "number": (slice(None), -1),
    "new axis": (slice(None), None, slice(1, None)),
    "backwards": (slice(None), slice(None, None, -2)),
    "rest": (..., 2),
    "list": (slice(None), [0, 2, 2]),
    "array": (slice(None), slice(None), np.array([1, 0, -1])),
    "square": (slice(None), np.array([[1, 0], [2, 2]])),
    "two arrays": (slice(None), np.array([1, 0]), np.array([1, 2])),
    "number and array": (slice(None), 1, np.array([1, 2])),
    "first": (0,),
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name):
    model = module(lambda self, x: x[INDICES[name]])
    made = to_onnx(model, minidl.randn(2, 4, 6), dynamic_axes={"input": {0: "n"}})
    agrees(made, model, minidl.randn(5, 4, 6))


def test_a_causal_mask_and_positions_for_any_length():
    model = module(causal, nn.Embedding(9, 6), nn.Embedding(8, 6), nn.Linear(6, 3))
    x = minidl.tensor(np.arange(16).reshape(2, 8) % 9)
    made = to_onnx(model, x, dynamic_axes={"input": {0: "n", 1: "t"}})
    for shape in ((1, 1), (3, 4), (2, 8)):
        agrees(made, model, minidl.randint(0, 9, shape))


def test_two_open_sizes():
    model = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)
    made = to_onnx(model, minidl.randn(2, 5, 3), dynamic_axes={"input": {0: "batch", 1: "time"}})
    for shape in ((1, 1, 3), (3, 9, 3)):
        agrees(made, model, minidl.randn(*shape))


def test_a_transformer_for_any_batch_and_length():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    made = to_onnx(model, minidl.randn(2, 5, 8), dynamic_axes={"input": [0, 1]})
    agrees(made, model, minidl.randn(3, 7, 8))


def test_convolutions_for_images_of_any_size():
    model = nn.Sequential(
        *[nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1)],
        *[nn.Flatten(), nn.Linear(4, 2)],
    )
    made = to_onnx(model, minidl.randn(2, 1, 9, 9), dynamic_axes={"input": {0: "n", 2: "h", 3: "w"}})
    agrees(made, model, minidl.randn(3, 1, 14, 20))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), (4, 4, 4)),
        (lambda: nn.GroupNorm(2, 4), (4, 3, 3)),
        (lambda: nn.InstanceNorm2d(4), (4, 3, 3)),
        (lambda: nn.BatchNorm2d(4, track_running_stats=False), (4, 3, 3)),
        (lambda: nn.Conv3d(1, 2, 2), (1, 3, 4, 4)),
        (lambda: nn.AdaptiveMaxPool2d((3, 4)), (2, 5, 6)),
        (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 3, 4)),
        (lambda: nn.Fold((4, 5), 2), (8, 12)),
    ],
)
def test_layers_for_any_batch(make, shape):
    model = make()
    made = to_onnx(model, minidl.randn(2, *shape), dynamic_axes={"input": {0: "n"}})
    agrees(made, model, minidl.randn(5, *shape))


def test_export_in_pytorchs_form(tmp_path):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU()), minidl.randn(2, 3)
    path = tmp_path / "model.onnx"
    axes = {"pixels": {0: "n"}, "scores": {0: "m"}}
    export(model, x, path, input_names=["pixels"], output_names=["scores"], dynamic_axes=axes)
    made = onnx.load(str(path))
    assert [i.name for i in made.graph.input] == ["pixels"] and [o.name for o in made.graph.output] == ["scores"]
    assert made.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "m"
    agrees(made, model, minidl.randn(5, 3))
    stream = io.BytesIO()
    export(model, (x,), stream)
    assert onnx.load_from_string(stream.getvalue()).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    made = to_onnx(model, x, export_params=False)
    assert [i.name for i in made.graph.input] == ["input", "0.weight", "0.bias"] and not made.graph.initializer


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"opset_version": 16}, ValueError),
        ({"input_names": ["a", "b"]}, ValueError),
        ({"output_names": ["input"]}, ValueError),
        ({"dynamic_axes": {"other": {0: "n"}}}, ValueError),
        ({"dynamic_axes": {"input": {2: "n"}}}, ValueError),
        ({"dynamic_shapes": {"x": {0: "n"}}}, NotImplementedError),
        ({"do_constant_folding": False}, NotImplementedError),
        ({"other": 1}, TypeError),
        ({"training": 2}, NotImplementedError),
    ],
)
def test_refused_options(options, error):
    with pytest.raises(error, match="export: "):
        export(nn.Linear(3, 2), minidl.randn(2, 3), io.BytesIO(), **options)


def test_keywords_and_several_inputs(capsys):
    model = module(lambda self, x, y, scale: (x + y) * scale)
    given = minidl.randn(2, 3), minidl.randn(2, 3), minidl.randn(3)
    axes = {"input_0": {0: "n"}, "input_1": {0: "n"}}
    made = to_onnx(model, given[:2], kwargs={"scale": given[2]}, dynamic_axes=axes)
    agrees(made, model, minidl.randn(5, 3), minidl.randn(5, 3), given[2])
    export(nn.Linear(2, 2), minidl.randn(1, 2), io.BytesIO(), verbose=True)
    assert "Gemm" in capsys.readouterr().out


def test_a_forward_may_ask():
    model = module(lambda self, x: x + 1 if is_in_onnx_export() else x - 1)
    assert [n.op_type for n in to_onnx(model, minidl.randn(2)).graph.node][0] == "Add" and not is_in_onnx_export()


def test_refused_models():
    with pytest.raises(NotImplementedError, match="f=None"):
        export(nn.Linear(2, 2), minidl.randn(1, 2))
    with pytest.raises(TypeError, match="Module"):
        export(lambda x: x, minidl.randn(2), io.BytesIO())
    with pytest.raises(TypeError, match="args"):
        export(nn.Linear(2, 2), (), io.BytesIO())
    with pytest.raises(TraceError, match="max pooling"):
        to_onnx(nn.MaxPool2d(2, return_indices=True), minidl.randn(1, 1, 4, 4))


def test_without_onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"minidl\[onnx\]"):
        export(nn.Linear(2, 2), minidl.randn(1, 2), io.BytesIO())

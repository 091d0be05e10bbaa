# SPDX-License-Identifier: Apache-2.0
"""Rare cases of lowering: 8 bits that meet float arithmetic, other scales, computed weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import fixedpoint, importer, interpreter, specs
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.optimise import optimise
from edgebuild.kernels.program import Operand, Program, Step
from edgebuild.kernels.reference import evaluate, is_empty, output_shape
from edgebuild.kernels.scalars import erf
from edgebuild.kernels.tables import table
from edgebuild.model.graph import Graph, Operator, Quantisation
from tests.unit.test_kernels_passes import Net

R = np.random.default_rng(11)
Q = Quantisation(scale=(0.05,), zero_point=(3,))
WIDER = Quantisation(scale=(0.1,), zero_point=(-4,))


def int8(net: Net, kind: str, *inputs: str, out: Quantisation = Q, **attributes: Any) -> str:
    return net.op(kind, *inputs, dtype="int8", quantisation=out, **attributes)


def quantised(net: Net, found: Quantisation = Q) -> str:
    """The net's float input as int8."""
    return int8(net, "quantize", net.x, out=found)


def real(values: np.ndarray, found: Quantisation) -> np.ndarray:
    return (values.astype(np.float64) - found.zero_point[0]) * found.scale[0]


def outputs(graph: Graph, *inputs: np.ndarray) -> dict[str, np.ndarray]:
    plain = interpreter.run(graph, inputs)
    after = interpreter.run_lowered(optimise(graph), inputs)
    for name in graph.outputs:
        np.testing.assert_array_equal(after[name], plain[name])
    return plain


@pytest.mark.parametrize("kind", ["div", "pow", "maximum", "minimum"])
def test_8_bit_values_pass_through_float_where_there_is_no_8_bit_form(kind: str) -> None:
    net = Net(4, 6)
    a = quantised(net)
    b = int8(net, "quantize", net.op("exp", net.x), out=WIDER)
    y = int8(net, kind, a, b, out=WIDER)
    found = outputs(net.graph(y), R.standard_normal((4, 6)).astype(np.float32))
    function = {"div": np.divide, "pow": np.power, "maximum": np.maximum, "minimum": np.minimum}
    with np.errstate(all="ignore"):
        exact = function[kind](real(found[a], Q), real(found[b], WIDER))
    near = np.isfinite(exact) & (np.abs(exact) < 6)
    assert np.abs(real(found[y], WIDER) - exact)[near].max() <= 0.0501


@pytest.mark.parametrize("kind", ["exp", "gelu", "elu", "hard_sigmoid", "sqrt", "clip", "erf"])
def test_8_bit_functions_are_tables(kind: str) -> None:
    attributes = {"gelu": {"approximate": False}, "elu": {"alpha": 1.0},
                  "hard_sigmoid": {"alpha": 0.2, "beta": 0.5},
                  "clip": {"lo": -0.3, "hi": 0.9}}.get(kind, {})  # fmt: skip
    net = Net(16, 16)
    x = quantised(net)
    y = int8(net, kind, x, out=WIDER, **attributes)
    graph = net.graph(y)
    assert [c.spec.kind for c in optimise(graph).calls] == ["elementwise"]
    assert outputs(graph, R.standard_normal((16, 16)).astype(np.float32))


def test_a_table_follows_its_function() -> None:
    operator = Operator(kind="exp", name="y", inputs=("x",), outputs=("y",), attributes={},
                        source="0")  # fmt: skip
    found = table(operator, (0.01, 0), (0.05, -128))
    exact = np.exp(np.arange(-128, 128) * 0.01)
    assert np.abs((found.astype(float) + 128) * 0.05 - exact).max() <= 0.026


def test_parts_with_other_scales_are_rescaled_before_they_are_joined() -> None:
    net = Net(2, 8)
    a, b = quantised(net), quantised(net, WIDER)
    y = int8(net, "concat", a, b, axis=1)
    found = outputs(net.graph(y), R.standard_normal((2, 8)).astype(np.float32))
    np.testing.assert_array_equal(found[y][:, :8], found[a])
    assert np.abs(real(found[y][:, 8:], Q) - real(found[b], WIDER)).max() <= 0.026


def test_prelu_of_8_bit_values() -> None:
    net = Net(2, 8)
    a = quantised(net)
    alpha = net.b.constant("alpha", R.integers(-50, 50, 8).astype(np.int8), WIDER)
    y = int8(net, "prelu", a, alpha)
    found = outputs(net.graph(y), R.standard_normal((2, 8)).astype(np.float32))
    slope = real(net.b.tensors[alpha].data, WIDER)
    exact = np.where(real(found[a], Q) < 0, real(found[a], Q) * slope, real(found[a], Q))
    limits = real(np.array([-128, 127]), Q)
    assert np.abs(real(found[y], Q) - np.clip(exact, *limits)).max() <= 0.0251


def test_a_dense_layer_with_computed_weights_is_a_matrix_product() -> None:
    net = Net(3, 4)
    weights = net.op("reshape", net.op("exp", net.x), shape=(3, 4))
    graph = net.graph(net.op("dense", net.x, weights))
    assert [c.spec.kind for c in lower(graph).calls] == ["elementwise", "matmul"]
    x = R.standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_allclose(outputs(graph, x)["dense"], x @ np.exp(x).T, rtol=1e-5)


def test_select_and_comparison() -> None:
    net = Net(5, 4)
    c = net.op("less", net.x, net.constant(4), dtype="bool")
    y = net.op("select", net.op("not", c), net.x, net.op("neg", net.x), dtype="float32")
    assert outputs(net.graph(y), R.standard_normal((5, 4)).astype(np.float32))


def test_sums_of_8_bit_values() -> None:
    net = Net(4, 6)
    a = quantised(net)
    y = int8(net, "sum", a, out=Quantisation(scale=(0.3,), zero_point=(2,)), axes=(1,),
             keep_dims=True)  # fmt: skip
    found = outputs(net.graph(y), R.standard_normal((4, 6)).astype(np.float32))
    exact = real(found[a], Q).sum(1, keepdims=True)
    assert np.abs((found[y].astype(float) - 2) * 0.3 - exact).max() <= 0.151


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("average_pool2d", {"kernel": (2, 2), "stride": (1, 1), "padding": (0,) * 4,
                            "count_padding": False}),
        ("softmax", {"beta": 1.0}),
        ("mul", {"activation": "tanh"}),
    ],
)  # fmt: skip
def test_e206_and_e205_8_bit_forms_that_do_not_exist(kind: str, attributes: dict[str, Any]) -> None:
    net = Net(1, 4, 4, 2)
    a = quantised(net)
    inputs = (a, a) if kind == "mul" else (a,)
    with pytest.raises(EdgebuildError) as caught:
        lower(net.graph(int8(net, kind, *inputs, out=WIDER, **attributes)))
    assert caught.value.kind.code in ("E205", "E206")


def test_e206_scales_that_are_missing_or_asymmetrical() -> None:
    for quantisation in (None, Quantisation(scale=(0.1,), zero_point=(9,))):
        net = Net(2, 4)
        weights = net.b.constant("w", np.ones((3, 4), np.int8), quantisation)
        y = int8(net, "dense", quantised(net), weights)
        with pytest.raises(EdgebuildError) as caught:
            lower(net.graph(y))
        assert caught.value.kind.code == "E206"
    net = Net(2, 4)
    scale = net.op("reshape", net.op("slice", net.x, begin=(0, 0), size=(1, 4), stride=(1, 1)),
                   shape=(4,))  # fmt: skip
    with pytest.raises(EdgebuildError) as caught:
        lower(net.graph(net.op("layer_norm", net.x, scale, scale, epsilon=1e-5)))
    assert caught.value.kind.code == "E206"


def test_quantise_gives_the_zero_point_for_a_nan_and_the_ends_for_infinities() -> None:
    step = Step(function="quantise", arguments=(0,), numbers=(0.1, 7, -128, 127), dtype="int8")
    program = Program(
        operands=(Operand(source="input", shape=(4,), dtype="float32"),), steps=(step,)
    )
    spec = specs.Elementwise(shape=(4,), program=program)
    found = evaluate(spec, [np.float32([np.nan, np.inf, -np.inf, 0.05])])
    assert found.tolist() == [7, 127, -128, 8]


def test_clamp_keeps_a_nan() -> None:
    step = Step(function="clamp", arguments=(0,), numbers=(0.0, 6.0), dtype="float32")
    program = Program(
        operands=(Operand(source="input", shape=(3,), dtype="float32"),), steps=(step,)
    )
    found = evaluate(specs.Elementwise(shape=(3,), program=program), [np.float32([np.nan, -1, 9])])
    np.testing.assert_array_equal(found, np.float32([np.nan, 0, 6]))


def test_gather_never_leaves_its_table() -> None:
    spec = specs.Gather(outer=1, size=3, inner=2, count=5, dtype="float32", index_dtype="int32",
                        constant=False)  # fmt: skip
    data = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    found = evaluate(spec, [data, np.int32([0, -1, 99, -99, 2])])
    assert found[0, :, 0].tolist() == [0, 4, 4, 0, 4]


def test_sizes_of_specs() -> None:
    spec = specs.Copy(shape=(0, 3), dtype="float32", input_size=0, output_size=0,
                      input_strides=(3, 1), output_strides=(3, 1))  # fmt: skip
    assert output_shape(spec) == (0,)
    assert is_empty(spec)
    norm = specs.LayerNorm(
        rows=1,
        columns=4,
        epsilon=1e-5,
        addend=True,
        epilogue=Program(
            operands=(Operand(source="accumulator", shape=(1, 4), dtype="float32"),), steps=()
        ),
    )
    assert [a.name for a in norm.arguments()] == ["input", "addend", "output"]
    x = np.float32([[1, 2, 3, 4]])
    np.testing.assert_allclose(evaluate(norm, [x, x]).mean(), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("real_number", "expected"),
    [(0.0, (0, 0)), (1.0, (1 << 30, 1)), (0.5, (1 << 30, 0)), (2.0**-40, (0, 0)),
     (float("nan"), (0, 0)), (1 - 2.0**-40, (1 << 30, 1))],
)  # fmt: skip
def test_multipliers(real_number: float, expected: tuple[int, int]) -> None:
    assert fixedpoint.quantise_multiplier(real_number) == expected


def test_rounding_is_away_from_zero() -> None:
    values = np.float32([0.5, -0.5, 1.5, 2.5, 0.49999997, -0.49999997])
    assert fixedpoint.round_half_away(values).tolist() == [1, -1, 2, 3, 0, 0]
    assert fixedpoint.rounding_shift(np.array([5, -5, 6, -6, 7]), 2).tolist() == [1, -1, 2, -2, 2]
    assert int(fixedpoint.doubling_high_mul(-(1 << 31), -(1 << 31))) == (1 << 31) - 1


def test_the_error_function() -> None:
    from math import erf as exact

    x = np.concatenate([np.linspace(-4, 4, 101), [np.inf, -np.inf, 30.0]])
    np.testing.assert_allclose(erf(x), [exact(v) for v in x], atol=1e-12)
    assert np.isnan(erf(np.array([np.nan])))[0]


def test_a_program_without_its_accumulator_is_a_mistake_of_ours() -> None:
    program = Program(
        operands=(Operand(source="accumulator", shape=(1,), dtype="float32"),), steps=()
    )
    with pytest.raises(ValueError, match="accumulator"):
        evaluate(specs.Elementwise(shape=(1,), program=program), [])


def qdq_model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray],
              shape: tuple[int, ...]) -> bytes:  # fmt: skip
    held = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "qdq", [x], [y], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def pair(name: str, out: str, scale: str = "s", zero: str = "z") -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [out]),
    ]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [2, 2]}),
        ("Relu", {}),
        ("Sigmoid", {}),
        ("GlobalAveragePool", {}),
        ("Transpose", {"perm": [0, 2, 3, 1]}),
        ("Pad", {}),
    ],
)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantised_onnx_operators_are_8_bit(tmp_path: Path, kind: str, attributes: dict[str, Any],
                                            dtype: type) -> None:  # fmt: skip
    extra = ["pads"] if kind == "Pad" else []
    nodes = [
        *pair("x", "d"),
        helper.make_node(kind, ["d", *extra], ["m"], **attributes),
        *pair("m", "y"),
    ]
    zero = dtype(5 if dtype is np.int8 else 133)
    constants = {"s": np.float32(0.05), "z": zero,
                 "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}  # fmt: skip
    path = tmp_path / "m.onnx"
    path.write_bytes(qdq_model(nodes, constants, (1, 3, 4, 4)))
    graph = importer.load(path)
    x = R.standard_normal((1, 3, 4, 4)).astype(np.float32)
    lowered = optimise(graph)
    found = interpreter.run_lowered(lowered, [x])[graph.outputs[0]]
    plain = interpreter.outputs(graph, [x])[0]
    assert np.abs(found - plain).max() <= 0.0501  # one step of the stored number
    moved = [c for c in lowered.calls if c.spec.kind in ("pool2d", "copy", "pad", "reduce")]
    assert all(getattr(c.spec, "dtype", "int8") == "int8" for c in moved)


@pytest.mark.parametrize(
    ("scale", "zero"),
    [(np.float32(0), np.int8(0)), (np.float32(np.nan), np.int8(0)),
     (np.float32([0.1, 0.2]), np.int8([0, 0])), (np.float32(0.1), np.int16(0))],
)  # fmt: skip
def test_quantisation_that_does_not_fit_is_refused(tmp_path: Path, scale: Any, zero: Any) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(qdq_model(pair("x", "y"), {"s": scale, "z": zero}, (1, 3, 4, 4)))
    with pytest.raises(EdgebuildError) as caught:
        importer.load(path)
    assert caught.value.kind.code in ("E203", "E206")

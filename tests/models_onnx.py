# SPDX-License-Identifier: Apache-2.0
"""A network as an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.models_network import Layer, Network, affine, quantise_weights

SIMPLE = {"add": "Add", "mul": "Mul", "sigmoid": "Sigmoid", "hard_swish": "HardSwish"}


class Maker:
    """Collects nodes and initialisers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, data: np.ndarray) -> str:
        """Add an initialiser; answers its name."""
        self._count += 1
        name = f"constant_{self._count}"
        self.constants.append(numpy_helper.from_array(data, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add an operator with one output; answers its name."""
        self._count += 1
        name = f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def model(
        self,
        name: str,
        inputs: list[onnx.ValueInfoProto],
        outputs: dict[str, tuple[int, list[int]]],
    ) -> bytes:
        """The file. ``outputs``: type and shape of each."""
        infos = [helper.make_tensor_value_info(n, *facts) for n, facts in outputs.items()]
        graph = helper.make_graph(self.nodes, name, inputs, infos, self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString())


def to_onnx(net: Network, *, int8: bool) -> bytes:
    """The network as an ONNX file: NCHW; quantised as QuantizeLinear/DequantizeLinear pairs."""
    made = Maker()

    def quantised(number: int, name: str) -> str:
        if not int8:
            return name
        scale, zero = affine(net.range(number))
        scales = made.constant(np.float32(scale)), made.constant(np.uint8(zero + 128))
        stored = made.node("QuantizeLinear", name, *scales) if number else name
        return made.node("DequantizeLinear", stored, *scales)

    values = [quantised(0, "input")]
    for number, layer in enumerate(net.layers, 1):
        result = _onnx_layer(made, net, layer, [values[each] for each in layer.inputs], int8)
        if layer.relu == "relu":
            result = made.node("Relu", result)
        elif layer.relu:
            limits = made.constant(np.float32(0)), made.constant(np.float32(6))
            result = made.node("Clip", result, *limits)
        last = number == len(net.layers)
        values.append(result if last and layer.kind == "softmax" else quantised(number, result))
    kind = TensorProto.UINT8 if int8 else TensorProto.FLOAT
    info = helper.make_tensor_value_info("input", kind, _nchw(net.input_shape))
    return made.model(
        net.name, [info], {values[-1]: (TensorProto.FLOAT, _nchw(net.layers[-1].shape))}
    )


def _nchw(shape: tuple[int, ...]) -> list[int]:
    return [shape[axis] for axis in (0, 3, 1, 2)] if len(shape) == 4 else list(shape)


def _onnx_layer(made: Maker, net: Network, layer: Layer, inputs: list[str], int8: bool) -> str:
    if layer.kind in SIMPLE:
        return made.node(SIMPLE[layer.kind], *inputs)
    if layer.kind == "softmax":
        return made.node("Softmax", *inputs, axis=-1)
    if layer.kind == "mean":
        pooled = made.node("GlobalAveragePool", *inputs)
        return pooled if len(layer.shape) == 4 else made.node("Flatten", pooled)
    weights, bias = _onnx_constants(made, net, layer, int8)
    if layer.kind == "dense":
        return made.node("Gemm", *inputs, weights, bias, transB=1)
    assert layer.weights is not None
    channels = layer.weights.shape[3]
    return made.node(
        "Conv",
        *inputs,
        weights,
        bias,
        auto_pad="SAME_UPPER",
        kernel_shape=list(layer.weights.shape[1:3]),
        strides=[layer.stride, layer.stride],
        group=channels if layer.kind == "depthwise" else 1,
    )


def _onnx_constants(made: Maker, net: Network, layer: Layer, int8: bool) -> tuple[str, str]:
    assert layer.weights is not None
    assert layer.bias is not None
    order = {"conv": (0, 3, 1, 2), "depthwise": (3, 0, 1, 2)}.get(layer.kind, (0, 1))
    if not int8:
        return made.constant(layer.weights.transpose(order).copy()), made.constant(layer.bias)
    stored, scales, _ = quantise_weights(layer)
    single = len(scales) == 1
    shaped = scales[0] if single else scales
    axis = {} if single else {"axis": 0}
    weights = made.node(
        "DequantizeLinear",
        made.constant(stored.transpose(order).copy()),
        made.constant(np.asarray(shaped)),
        made.constant(np.zeros(np.shape(shaped), np.int8)),
        **axis,
    )
    bias_scales = scales * np.float32(affine(net.range(layer.inputs[0]))[0])
    bias = made.node(
        "DequantizeLinear",
        made.constant(np.round(layer.bias / bias_scales).astype(np.int32)),
        made.constant(np.asarray(bias_scales[0] if single else bias_scales)),
        made.constant(np.zeros(np.shape(shaped), np.int32)),
        **axis,
    )
    return weights, bias

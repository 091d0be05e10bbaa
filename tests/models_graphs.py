# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs drawn at random: chains of operators in shapes that nobody chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
FUNCTIONS = (
    "Relu",
    "Sigmoid",
    "Tanh",
    "Abs",
    "Erf",
    "HardSwish",
    "Elu",
    "Softplus",
    "Floor",
    "Round",
)


class Drawn:
    """A graph in the making: values by name with their shapes; the last few are read again."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values: dict[str, Shape] = {}

    def number(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high))

    def one(self, *of: Any) -> Any:
        return of[self.number(0, len(of))]

    def floats(self, *shape: int) -> np.ndarray:
        size = max(1, int(np.prod(shape[1:])))
        return (self.random.standard_normal(shape) / np.sqrt(size)).astype(np.float32)

    def constant(self, data: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    def pick(self, ranks: Sequence[int] = (1, 2, 3, 4)) -> str | None:
        fitting = [name for name, shape in self.values.items() if len(shape) in ranks]
        return self.one(*fitting[-3:]) if fitting else None

    def node(
        self, kind: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any
    ) -> None:
        name = f"v{len(self.values)}_{kind}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        self.values[name] = tuple(shape)


def _extents(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
             pads: Sequence[int]) -> list[int]:  # fmt: skip
    count = len(sizes)
    return [
        (n + pads[i] + pads[i + count] - k) // s + 1
        for i, (n, k, s) in enumerate(zip(sizes, kernel, stride, strict=True))
    ]


def _conv(g: Drawn) -> None:
    x = g.pick((3, 4))
    if x is None:
        return
    n, c, *sizes = g.values[x]
    groups = g.one(1, 1, c)
    outputs = groups * g.number(1, 6) if groups > 1 else g.number(1, 40)
    kernel = [g.number(1, min(6, size) + 1) for size in sizes]
    stride = [g.number(1, 4) for _ in sizes]
    pads = [g.number(0, 4) for _ in range(2 * len(sizes))]
    weights = g.constant(g.floats(outputs, c // groups, *kernel))
    bias = [g.constant(g.floats(outputs))] if g.number(0, 2) else []
    g.node("Conv", [x, weights, *bias], (n, outputs, *_extents(sizes, kernel, stride, pads)),
           group=groups, strides=stride, pads=pads)  # fmt: skip


def _pool(g: Drawn) -> None:
    x = g.pick((3, 4))
    if x is None:
        return
    n, c, *sizes = g.values[x]
    kernel = [g.number(1, min(5, size) + 1) for size in sizes]
    stride = [g.number(1, 4) for _ in sizes]
    pads = [g.number(0, (k + 1) // 2) for k in kernel] * 2
    kind = g.one("MaxPool", "AveragePool")
    counted = {"count_include_pad": g.number(0, 2)} if kind == "AveragePool" else {}
    g.node(kind, [x], (n, c, *_extents(sizes, kernel, stride, pads)), kernel_shape=kernel,
           strides=stride, pads=pads, **counted)  # fmt: skip


def _gemm(g: Drawn) -> None:
    x = g.pick((2,))
    if x is None:
        return
    turned, n = g.number(0, 2), g.number(1, 70)
    m, k = g.values[x][::-1] if turned else g.values[x]
    offset = g.constant(g.floats(*g.one((n,), (1, n), (m, 1), (m, n), (), (1,))))
    g.node("Gemm", [x, g.constant(g.floats(n, k)), offset], (m, n), transA=turned, transB=1,
           alpha=0.5, beta=float(g.one(1.0, 0.3)))  # fmt: skip


def _square(g: Drawn) -> None:
    """A value times itself, turned; through another shape now and then."""
    x = g.pick((2, 3))
    if x is None:
        return
    shape = g.values[x]
    rank = len(shape)
    g.node("Transpose", [x], (*shape[:-2], shape[-1], shape[-2]),
           perm=[*range(rank - 2), rank - 1, rank - 2])  # fmt: skip
    turned = next(reversed(g.values))
    g.node("MatMul", [x, turned], (*shape[:-1], shape[-2]))


def _binary(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    shape = g.values[x]
    same = [name for name, other in g.values.items() if other == shape]
    narrow = tuple(n if g.number(0, 2) else 1 for n in shape)[g.number(0, len(shape)) :]
    inputs = [x, g.one(g.constant(g.floats(*narrow)), g.one(*same))]
    g.node(g.one("Add", "Sub", "Mul", "Max", "Min"), inputs[:: g.one(1, -1)], shape)


def _unary(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    g.node(g.one(*FUNCTIONS), [x], g.values[x])


def _transpose(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    perm = [int(axis) for axis in g.random.permutation(len(g.values[x]))]
    g.node("Transpose", [x], [g.values[x][axis] for axis in perm], perm=perm)


def _reshape(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    rest, shape = int(np.prod(g.values[x])), list[int]()
    for _ in range(g.number(0, 4)):
        extent = g.one(*(d for d in range(1, min(rest, 40) + 1) if rest % d == 0))
        shape.append(extent)
        rest //= extent
    shape.insert(g.number(0, len(shape) + 1), rest)
    g.node("Reshape", [x, g.constant(np.array(shape, np.int64))], shape)


def _concat(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    shape = list(g.values[x])
    axis = g.number(0, len(shape))
    other = [g.number(1, 4) if d == axis else n for d, n in enumerate(shape)]
    parts = [x, g.constant(g.floats(*other)), x][:: g.one(1, -1)]
    g.node("Concat", parts, [2 * n + other[d] if d == axis else n for d, n in enumerate(shape)],
           axis=axis)  # fmt: skip


def _slice(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    shape = list(g.values[x])
    axis, step = g.number(0, len(shape)), g.one(1, 2, 3, -1, -2)
    taken = range(shape[axis])[::step]
    ends = shape[axis] if step > 0 else -shape[axis] - 1
    limits = [taken.start, ends, axis, step]
    shape[axis] = len(taken)
    g.node("Slice", [x, *(g.constant(np.array([v], np.int64)) for v in limits)], shape)


def _reduce(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    shape, axis, keep = g.values[x], g.number(0, len(g.values[x])), g.number(0, 2)
    kept = [1 if d == axis else n for d, n in enumerate(shape) if keep or d != axis]
    kind = g.one("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2", "ReduceLogSumExp")
    g.node(kind, [x, g.constant(np.array([axis - len(shape)]))], kept, keepdims=keep)


def _norm(g: Drawn) -> None:
    x = g.pick()
    assert x is not None
    shape = g.values[x]
    if g.number(0, 2):
        g.node("Softmax", [x], shape, axis=g.number(0, len(shape)))
        return
    scales = [g.constant(g.floats(shape[-1])) for _ in range(2)]
    g.node("LayerNormalization", [x, *scales], shape, axis=-1)


STEPS: tuple[Callable[[Drawn], None], ...] = (
    _conv, _conv, _conv, _pool, _gemm, _gemm, _square, _binary, _binary, _unary, _unary,
    _transpose, _reshape, _concat, _slice, _reduce, _norm,
)  # fmt: skip


def draw(seed: int, steps: int = 10) -> onnx.ModelProto:
    """One graph; its outputs are the values that no operator reads."""
    g = Drawn(seed)
    shape = g.one((1, g.number(1, 20), g.number(3, 20), g.number(3, 20)),
                  (g.number(1, 4), g.number(1, 17), g.number(2, 40)),
                  (g.number(1, 9), g.number(1, 70)))  # fmt: skip
    g.values["x"] = shape
    for _ in range(steps):
        g.one(*STEPS)(g)
        if int(np.prod(next(reversed(g.values.values())))) > 20_000:
            break
    read = {name for node in g.nodes for name in node.input}
    outputs = [name for name in g.values if name not in read]
    graph = helper.make_graph(
        g.nodes, "drawn", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs], g.constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

# SPDX-License-Identifier: Apache-2.0
"""What a kernel computes, and nothing of how: one frozen value per fused operator.

A spec is the contract between the graph passes, the TIR schedule families, the NumPy reference
and the driver. Equal specs share one compiled function. Everything is row-major; images are NHWC.

A kernel is ``void k(arguments..., [workspace], [int32 begin, int32 end])``: the pointers are, in
order, the entries of ``spec.arguments()``; constants arrive as ``pack`` laid them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal, TypeAlias

from edgebuild.kernels.program import Argument, Program, Role, Shape


def ordered(*groups: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """All arguments: inputs, then constants, then outputs, else in the order given."""
    flat = [argument for group in groups for argument in group]
    return tuple(a for role in ("input", "constant", "output") for a in flat if a.role == role)


def _argument(name: str, role: Role, shape: Shape, dtype: str) -> tuple[Argument, ...]:
    return (Argument(name=name, role=role, shape=shape, dtype=dtype),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a kernel slides over an image, as (vertical, horizontal) pairs.

    Only the padding before is stored: the output's size tells the rest. A position outside of
    the image contributes nothing (for convolutions: as if it held ``input_zero``).
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2d:
    """input (n,h,w,c) * weights (o,kh,kw,c/groups) -> accumulator (n,oh,ow,o) -> epilogue.

    accumulator = sum of (x - input_zero) * w, int32 for int8 and float32 for float32.
    ``symmetric``: no 8-bit weight is -128, so that two products fit 16 bits.
    ``stored``: the type of float weights that are kept as smaller numbers (``stored.py``); their
    scale is the epilogue's.
    """

    kind: ClassVar[str] = "conv2d"
    input: tuple[int, int, int, int]
    output: tuple[int, int, int, int]
    window: Window
    groups: int = 1
    dtype: str
    input_zero: int = 0
    epilogue: Program
    symmetric: bool = False
    stored: str = ""

    def arguments(self) -> tuple[Argument, ...]:
        weights = (self.output[3], *self.window.kernel, self.input[3] // self.groups)
        return ordered(
            _argument("input", "input", self.input, self.dtype),
            _argument("weights", "constant", weights, self.stored or self.dtype),
            self.epilogue.arguments(),
            _argument("output", "output", self.output, self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return prod(self.output) * prod(self.window.kernel) * self.input[3] // self.groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Depthwise2d:
    """input (n,h,w,c) * weights (kh,kw,o), o = c * multiplier; channel j reads j // multiplier.

    The accumulator and ``stored`` are as in Conv2d.
    """

    kind: ClassVar[str] = "depthwise2d"
    input: tuple[int, int, int, int]
    output: tuple[int, int, int, int]
    window: Window
    dtype: str
    input_zero: int = 0
    epilogue: Program
    stored: str = ""

    def arguments(self) -> tuple[Argument, ...]:
        weights = (*self.window.kernel, self.output[3])
        return ordered(
            _argument("input", "input", self.input, self.dtype),
            _argument("weights", "constant", weights, self.stored or self.dtype),
            self.epilogue.arguments(),
            _argument("output", "output", self.output, self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return prod(self.output) * prod(self.window.kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """input (m,k) * weights (n,k) transposed -> accumulator (m,n) -> epilogue over (m,n).

    ``symmetric`` and ``stored`` as in Conv2d.
    """

    kind: ClassVar[str] = "dense"
    m: int
    k: int
    n: int
    dtype: str
    input_zero: int = 0
    epilogue: Program
    symmetric: bool = False
    stored: str = ""

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            _argument("input", "input", (self.m, self.k), self.dtype),
            _argument("weights", "constant", (self.n, self.k), self.stored or self.dtype),
            self.epilogue.arguments(),
            _argument("output", "output", (self.m, self.n), self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return self.m * self.k * self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Matmul:
    """accumulator[b, i, j] = sum over l of left[b, i, l] * right[b, l, j]; both are inputs.

    Strides are in elements: batch dimensions, then rows, then columns; so a transposition or a
    head split needs no copy. ``output_strides`` likewise. The epilogue's domain is
    (*batch, m, n). Buffers are flat; their sizes are given.
    """

    kind: ClassVar[str] = "matmul"
    batch: Shape
    m: int
    k: int
    n: int
    dtype: str
    left_zero: int = 0
    right_zero: int = 0
    left_size: int
    right_size: int
    output_size: int
    left_strides: Shape  # (*batch, m, k)
    right_strides: Shape  # (*batch, k, n)
    output_strides: Shape  # (*batch, m, n)
    epilogue: Program

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            _argument("left", "input", (self.left_size,), self.dtype),
            _argument("right", "input", (self.right_size,), self.dtype),
            self.epilogue.arguments(),
            _argument("output", "output", (self.output_size,), self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return prod(self.batch) * self.m * self.k * self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool2d:
    """Average or maximum over a window -> epilogue.

    Average: float32 sum / count; int8: the int32 sum divided by count, halves away from zero.
    ``count_padding`` counts positions in the padding too (ONNX count_include_pad). The
    accumulator's dtype is float32 or int32 (average) or the input's (maximum).
    """

    kind: ClassVar[str] = "pool2d"
    function: Literal["average", "maximum"]
    input: tuple[int, int, int, int]
    output: tuple[int, int, int, int]
    window: Window
    count_padding: bool = False
    dtype: str
    epilogue: Program

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            _argument("input", "input", self.input, self.dtype),
            self.epilogue.arguments(),
            _argument("output", "output", self.output, self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce:
    """Sum, maximum or minimum over ``axes``; those have extent 1 in the epilogue's domain.

    The accumulator of a sum of int8 is int32; otherwise it has the input's dtype.
    """

    kind: ClassVar[str] = "reduce"
    function: Literal["sum", "maximum", "minimum"]
    input: Shape
    axes: tuple[int, ...]
    dtype: str
    epilogue: Program

    @property
    def output(self) -> Shape:
        return tuple(1 if axis in self.axes else n for axis, n in enumerate(self.input))

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            _argument("input", "input", self.input, self.dtype),
            self.epilogue.arguments(),
            _argument("output", "output", self.output, self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax:
    """Softmax over the last of (rows, columns).

    float32: exp(beta * (x - max)) / sum. int8: the TFLite reference with its fixed-point
    exponential (``multiplier``, ``left_shift``, ``diff_min``), zero -128 and scale 1/256 out.
    """

    kind: ClassVar[str] = "softmax"
    rows: int
    columns: int
    dtype: str
    beta: float = 1.0
    multiplier: int = 0
    left_shift: int = 0
    diff_min: int = 0

    def arguments(self) -> tuple[Argument, ...]:
        shape = (self.rows, self.columns)
        return ordered(
            _argument("input", "input", shape, self.dtype),
            _argument("output", "output", shape, self.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorm:
    """(x - mean) / sqrt(variance + epsilon) over the last of (rows, columns) -> epilogue.

    The accumulator is the normalised value (float32); scale and offset are epilogue operands.
    ``addend``: normalise input + addend instead (the residual before a normalisation).
    """

    kind: ClassVar[str] = "layer_norm"
    rows: int
    columns: int
    epsilon: float
    addend: bool = False
    epilogue: Program

    def arguments(self) -> tuple[Argument, ...]:
        shape = (self.rows, self.columns)
        return ordered(
            _argument("input", "input", shape, "float32"),
            _argument("addend", "input", shape, "float32") if self.addend else (),
            self.epilogue.arguments(),
            _argument("output", "output", shape, self.epilogue.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise:
    """A program over ``shape``; operands broadcast. May write over an operand of that shape."""

    kind: ClassVar[str] = "elementwise"
    shape: Shape
    program: Program

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            self.program.arguments(),
            _argument("output", "output", self.shape, self.program.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """output[out_offset + i . out_strides] = input[in_offset + i . in_strides] for i in shape.

    Strides are in elements and may be 0 (broadcast) or negative. Transposition, slice, split,
    concatenation (one copy per part) and broadcast are this.
    """

    kind: ClassVar[str] = "copy"
    shape: Shape
    dtype: str
    input_size: int
    output_size: int
    input_offset: int = 0
    output_offset: int = 0
    input_strides: Shape
    output_strides: Shape

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            _argument("input", "input", (self.input_size,), self.dtype),
            _argument("output", "output", (self.output_size,), self.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad:
    """The input at ``before`` in an output filled with ``value``."""

    kind: ClassVar[str] = "pad"
    input: Shape
    output: Shape
    before: Shape
    value: float
    dtype: str

    def arguments(self) -> tuple[Argument, ...]:
        return ordered(
            _argument("input", "input", self.input, self.dtype),
            _argument("output", "output", self.output, self.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """output[o, i, n] = data[o, index(i), n].

    A negative index counts from the end; the result is clamped to [0, size): the indices can be
    a stranger's input, and no index may read outside of the data. ``constant``: data is one.
    """

    kind: ClassVar[str] = "gather"
    outer: int
    size: int
    inner: int
    count: int
    dtype: str
    index_dtype: str
    constant: bool

    def arguments(self) -> tuple[Argument, ...]:
        role: Role = "constant" if self.constant else "input"
        return ordered(
            _argument("data", role, (self.outer, self.size, self.inner), self.dtype),
            _argument("indices", "input", (self.count,), self.index_dtype),
            _argument("output", "output", (self.outer, self.count, self.inner), self.dtype),
        )

    @property
    def macs(self) -> int:
        return 0


Spec: TypeAlias = (
    Conv2d | Depthwise2d | Dense | Matmul | Pool2d | Reduce | Softmax | LayerNorm
    | Elementwise | Copy | Pad | Gather
)  # fmt: skip

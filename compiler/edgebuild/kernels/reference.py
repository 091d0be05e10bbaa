# SPDX-License-Identifier: Apache-2.0
"""The meaning of every spec, in NumPy: what kernels have to give, bit for bit for integers.

Float contractions are summed in float64 and rounded once, so that they serve as an oracle for any
order of summation. Integer ones are exact: their sums stay below 2**53.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels import specs
from edgebuild.kernels.program import Program
from edgebuild.kernels.scalars import run_program
from edgebuild.kernels.softmax import softmax_int8

Array = NDArray[Any]


def evaluate(spec: specs.Spec, arguments: Sequence[Array], output: Array | None = None) -> Array:
    """Compute one kernel.

    ``arguments``: the inputs and constants of ``spec.arguments()``, natural shapes. ``output``:
    what a Copy writes into (it may fill only a part). Returns an array of the output's shape.
    """
    named = {a.name: np.asarray(v) for a, v in zip(spec.arguments(), arguments, strict=False)}
    with np.errstate(all="ignore"):
        if isinstance(spec, specs.Copy):
            return _copy(spec, named, output)
        return _EVALUATORS[type(spec)](spec, named)


def _epilogue(program: Program, accumulator: Array, named: dict[str, Array]) -> Array:
    """Run a program whose operand 0 is the accumulator."""
    return run_program(program, accumulator, named, accumulator.shape)


def _rounded(accumulator: Array, dtype: str) -> Array:
    """A float64 sum as the kernel's accumulator type."""
    return accumulator.astype(np.float32) if dtype == "float32" else accumulator.astype(np.int64)


def _padded(x: Array, spec: specs.Conv2d | specs.Depthwise2d | specs.Pool2d, fill: float) -> Array:
    """The image with all the margin that the windows of the output reach."""
    window, sides = spec.window, []
    for axis in (0, 1):
        reach = (spec.output[axis + 1] - 1) * window.stride[axis] + 1
        reach += (window.kernel[axis] - 1) * window.dilation[axis]
        before = window.padding[axis]
        sides.append((before, max(0, reach - before - x.shape[axis + 1])))
    return np.pad(x, ((0, 0), *sides, (0, 0)), constant_values=fill)


def _at(x: Array, spec: specs.Conv2d | specs.Depthwise2d | specs.Pool2d, tap: tuple[int, int]) -> (
    Array
):  # fmt: skip
    """Padded ``x`` under one tap of the window, for each output position."""
    slices = []
    for axis in (0, 1):
        begin = tap[axis] * spec.window.dilation[axis]
        count, stride = spec.output[axis + 1], spec.window.stride[axis]
        slices.append(slice(begin, begin + (count - 1) * stride + 1, stride))
    return x[:, slices[0], slices[1], :]


def _conv2d(spec: specs.Conv2d, named: dict[str, Array]) -> Array:
    x = _padded(named["input"].astype(np.float64) - spec.input_zero, spec, 0)
    weights = named["weights"].astype(np.float64)
    accumulator = np.zeros(spec.output, np.float64)
    channels, outputs = spec.input[3] // spec.groups, spec.output[3] // spec.groups
    for group in range(spec.groups):
        part = slice(group * outputs, (group + 1) * outputs)
        source = x[..., group * channels : (group + 1) * channels]
        for tap in np.ndindex(*spec.window.kernel):
            accumulator[..., part] += _at(source, spec, tap) @ weights[part, tap[0], tap[1], :].T
    return _epilogue(spec.epilogue, _rounded(accumulator, spec.dtype), named)


def _depthwise(spec: specs.Depthwise2d, named: dict[str, Array]) -> Array:
    x = _padded(named["input"].astype(np.float64) - spec.input_zero, spec, 0)
    x = np.repeat(x, spec.output[3] // spec.input[3], axis=3)
    weights = named["weights"].astype(np.float64)
    accumulator = np.zeros(spec.output, np.float64)
    for tap in np.ndindex(*spec.window.kernel):
        accumulator += _at(x, spec, tap) * weights[tap]
    return _epilogue(spec.epilogue, _rounded(accumulator, spec.dtype), named)


def _dense(spec: specs.Dense, named: dict[str, Array]) -> Array:
    x = named["input"].astype(np.float64) - spec.input_zero
    accumulator = x @ named["weights"].astype(np.float64).T
    return _epilogue(spec.epilogue, _rounded(accumulator, spec.dtype), named)


def strided(flat: Array, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Array:
    """A view of a flat array; strides in elements. Positions are those of the spec."""
    return np.lib.stride_tricks.as_strided(
        flat[offset:], tuple(shape), [s * flat.itemsize for s in strides]
    )


def _matmul(spec: specs.Matmul, named: dict[str, Array]) -> Array:
    left = strided(named["left"].reshape(-1), (*spec.batch, spec.m, spec.k), spec.left_strides)
    right = strided(named["right"].reshape(-1), (*spec.batch, spec.k, spec.n), spec.right_strides)
    accumulator = (left.astype(np.float64) - spec.left_zero) @ (
        right.astype(np.float64) - spec.right_zero
    )
    result = _epilogue(spec.epilogue, _rounded(accumulator, spec.dtype), named)
    output = np.zeros(spec.output_size, result.dtype)
    strided(output, result.shape, spec.output_strides)[...] = result
    return output


def _pool(spec: specs.Pool2d, named: dict[str, Array]) -> Array:
    x = named["input"]
    taps = list(np.ndindex(*spec.window.kernel))
    if spec.function == "maximum":
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        source = _padded(x, spec, lowest)
        accumulator = np.maximum.reduce([_at(source, spec, tap) for tap in taps])
        return _epilogue(spec.epilogue, accumulator, named)
    source = _padded(x.astype(np.float64), spec, 0)
    total = np.add.reduce([_at(source, spec, tap) for tap in taps])
    ones = _padded(np.ones((1, *x.shape[1:3], 1)), spec, int(spec.count_padding))
    count = np.add.reduce([_at(ones, spec, tap) for tap in taps])
    if spec.dtype == "float32":
        return _epilogue(spec.epilogue, (total / count).astype(np.float32), named)
    signed = np.trunc((np.abs(total) + count // 2) / count) * np.sign(total)
    return _epilogue(spec.epilogue, signed.astype(np.int64), named)


def _reduce(spec: specs.Reduce, named: dict[str, Array]) -> Array:
    x = named["input"]
    if spec.function == "sum":
        total = x.astype(np.float64).sum(axis=spec.axes, keepdims=True)
        return _epilogue(spec.epilogue, _rounded(total, spec.dtype), named)
    function: Callable[..., Array] = np.max if spec.function == "maximum" else np.min
    limit = _limit(x.dtype, upper=spec.function == "minimum")
    return _epilogue(
        spec.epilogue, function(x, axis=spec.axes, keepdims=True, initial=limit), named
    )


def _limit(dtype: np.dtype[Any], *, upper: bool) -> Any:
    """The extreme of no numbers at all."""
    if dtype.kind == "f":
        return np.inf if upper else -np.inf
    if dtype.kind == "b":
        return upper
    return np.iinfo(dtype).max if upper else np.iinfo(dtype).min


def _softmax(spec: specs.Softmax, named: dict[str, Array]) -> Array:
    x = named["input"]
    if spec.dtype == "int8":
        return softmax_int8(x, spec.multiplier, spec.left_shift, spec.diff_min)
    wide = x.astype(np.float64)
    exponentials = np.exp((wide - wide.max(axis=1, keepdims=True)) * spec.beta)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def _layer_norm(spec: specs.LayerNorm, named: dict[str, Array]) -> Array:
    x = named["input"].astype(np.float64)
    if spec.addend:
        x = x + named["addend"]
    centred = x - x.mean(axis=1, keepdims=True)
    variance = (centred**2).mean(axis=1, keepdims=True)
    normal = (centred / np.sqrt(variance + spec.epsilon)).astype(np.float32)
    return _epilogue(spec.epilogue, normal, named)


def _elementwise(spec: specs.Elementwise, named: dict[str, Array]) -> Array:
    return run_program(spec.program, None, named, spec.shape)


def _copy(spec: specs.Copy, named: dict[str, Array], output: Array | None) -> Array:
    x = named["input"].reshape(-1)
    result = np.zeros(spec.output_size, x.dtype) if output is None else output.reshape(-1)
    source = strided(x, spec.shape, spec.input_strides, spec.input_offset)
    strided(result, spec.shape, spec.output_strides, spec.output_offset)[...] = source
    return result


def _pad(spec: specs.Pad, named: dict[str, Array]) -> Array:
    sides = [
        (before, total - before - size)
        for before, size, total in zip(spec.before, spec.input, spec.output, strict=True)
    ]
    return np.pad(named["input"], sides, constant_values=spec.value)


def _gather(spec: specs.Gather, named: dict[str, Array]) -> Array:
    index = named["indices"].reshape(-1).astype(np.int64)
    index = np.clip(np.where(index < 0, index + spec.size, index), 0, spec.size - 1)
    return named["data"].reshape(spec.outer, spec.size, spec.inner)[:, index, :]


_EVALUATORS: dict[type[Any], Callable[[Any, dict[str, Array]], Array]] = {
    specs.Conv2d: _conv2d,
    specs.Depthwise2d: _depthwise,
    specs.Dense: _dense,
    specs.Matmul: _matmul,
    specs.Pool2d: _pool,
    specs.Reduce: _reduce,
    specs.Softmax: _softmax,
    specs.LayerNorm: _layer_norm,
    specs.Elementwise: _elementwise,
    specs.Pad: _pad,
    specs.Gather: _gather,
}


def output_shape(spec: specs.Spec) -> tuple[int, ...]:
    """The natural shape of what a kernel writes."""
    return spec.arguments()[-1].shape


def is_empty(spec: specs.Spec) -> bool:
    """Nothing to compute."""
    return prod(output_shape(spec)) == 0

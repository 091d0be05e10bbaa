# SPDX-License-Identifier: Apache-2.0
"""The meaning of every scalar function of a program, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.fixedpoint import multiply, round_half_away
from edgebuild.kernels.program import FUNCTIONS, Program, Step

Array = NDArray[Any]


def run_program(
    program: Program, accumulator: Array | None, named: dict[str, Array], domain: Sequence[int]
) -> Array:
    """The program's result for every element of ``domain``."""
    values: list[Array] = []
    for number, operand in enumerate(program.operands):
        if operand.source == "accumulator":
            if accumulator is None:
                raise ValueError("a program with an accumulator, and none given")
            values.append(accumulator)
        else:
            values.append(named[f"p{number}"].reshape(operand.shape))
    for step in program.steps:
        values.append(apply(step, [values[i] for i in step.arguments]))
    result = np.broadcast_to(values[-1], tuple(domain))
    return np.ascontiguousarray(result).astype(np.dtype(program.dtype))


def apply(step: Step, values: Sequence[Array]) -> Array:
    """One step. Integer results are int64 within the step's range, floats have its dtype."""
    if step.function in _INTEGER:
        numbers = dict(zip(FUNCTIONS[step.function][1], step.numbers, strict=True))
        return _INTEGER[step.function](numbers, [np.asarray(v, np.int64) for v in values])
    if step.function == "requantise_real":
        return _requantise_real(step, values[0], values[1])
    if step.function in ("quantise", "dequantise"):
        return _conversion(step, values[0])
    if step.function == "cast":
        return _cast(np.asarray(values[0]), np.dtype(step.dtype))
    result = _PLAIN[step.function](step.numbers, *values)
    return np.asarray(result).astype(np.dtype(step.dtype))


def _clip(x: Array, numbers: dict[str, float]) -> Array:
    return np.asarray(np.clip(x + int(numbers["zero"]), int(numbers["lo"]), int(numbers["hi"])))


def _conversion(step: Step, x: Array) -> Array:
    scale, zero = np.float32(step.numbers[0]), step.numbers[1]
    if step.function == "dequantise":
        return scale * (np.asarray(x, np.int64) - int(zero)).astype(np.float32)
    rounded = round_half_away(np.asarray(x, np.float32) / scale) + np.float32(zero)
    # a NaN has no integer; zero is what the kernels give
    limited = np.clip(np.nan_to_num(rounded, nan=zero), step.numbers[2], step.numbers[3])
    return limited.astype(np.int64)


def _requantise_real(step: Step, accumulator: Array, scale: Array) -> Array:
    zero, lo, hi, _ = step.numbers
    rounded = round_half_away(accumulator.astype(np.float64) * scale)
    return np.asarray(np.clip(rounded, lo - zero, hi - zero) + zero, np.int64)


def _rescale(n: dict[str, float], v: Sequence[Array]) -> Array:
    x = v[0] - int(n["input_zero"])
    return _clip(multiply(x, int(n["multiplier"]), int(n["shift"])), n)


def _scaled(n: dict[str, float], side: str, x: Array) -> Array:
    shifted = (x - int(n[f"{side}_zero"])) << int(n["left_shift"])
    return multiply(shifted, int(n[f"{side}_multiplier"]), int(n[f"{side}_shift"]))


def _sum(sign: int) -> Callable[[dict[str, float], Sequence[Array]], Array]:
    def function(n: dict[str, float], v: Sequence[Array]) -> Array:
        total = _scaled(n, "a", v[0]) + sign * _scaled(n, "b", v[1])
        return _clip(multiply(total, int(n["multiplier"]), int(n["shift"])), n)

    return function


def _squared_difference(n: dict[str, float], v: Sequence[Array]) -> Array:
    difference = _scaled(n, "a", v[0]) - _scaled(n, "b", v[1])
    return _clip(multiply(difference * difference, int(n["multiplier"]), int(n["shift"])), n)


def _mul(n: dict[str, float], v: Sequence[Array]) -> Array:
    product = (v[0] - int(n["a_zero"])) * (v[1] - int(n["b_zero"]))
    return _clip(multiply(product, int(n["multiplier"]), int(n["shift"])), n)


def _divide(n: dict[str, float], v: Sequence[Array]) -> Array:
    count = int(n["count"])
    return np.asarray(np.sign(v[0]) * ((np.abs(v[0]) + count // 2) // count))


_INTEGER: dict[str, Callable[[dict[str, float], Sequence[Array]], Array]] = {
    "requantise": lambda n, v: _clip(multiply(v[0], v[1], v[2]), n),
    "rescale": _rescale,
    "add_int8": _sum(1),
    "sub_int8": _sum(-1),
    "squared_difference_int8": _squared_difference,
    "mul_int8": _mul,
    "lookup": lambda n, v: v[1].reshape(-1)[v[0] + 128],
    "divide_rounded": _divide,
}

_C = 1.1283791670955126  # 2 / sqrt(pi)


def erf(x: Array) -> Array:
    """The error function in float64: its Taylor series near 0, a continued fraction beyond.

    NumPy has none; both are exact to 1e-12 on their sides of 2.5.
    """
    value = np.abs(np.asarray(x, np.float64))
    near = np.minimum(value, 2.5)
    term, total = near.copy(), near.copy()
    for n in range(1, 60):
        term = -term * near * near / n
        total = total + term / (2 * n + 1)
    far = np.clip(value, 2.5, 30.0)
    fraction = np.zeros_like(far)
    for n in range(60, 0, -1):
        fraction = (n / 2) / (far + fraction)
    tail = 1 - np.exp(-far * far) * _C / 2 / (far + fraction)
    result = np.where(value < 2.5, _C * total, tail)
    return np.where(np.isnan(value), value, np.copysign(result, x))


def _in_double(function: Callable[[Array], Array]) -> Callable[..., Array]:
    return lambda numbers, x: function(np.asarray(x, np.float64))


def _clamp(numbers: Sequence[float], x: Array) -> Array:
    lo, hi = (np.asarray(v).astype(np.asarray(x).dtype) for v in numbers)
    return np.where(x < lo, lo, np.where(x > hi, hi, x))


def _cast(x: Array, dtype: np.dtype[Any]) -> Array:
    if x.dtype.kind != "f" or dtype.kind not in "iu":
        return x.astype(dtype)
    info = np.iinfo(dtype)
    beyond = float(info.max) + 1  # rounded up where a float cannot hold it
    inside = (x >= info.min) & (x < beyond)
    limits = np.select([x >= beyond, x < info.min], [info.max, info.min], 0).astype(dtype)
    return np.where(inside, np.where(inside, x, 0).astype(dtype), limits)


_PLAIN: dict[str, Callable[..., Any]] = {
    "add": lambda n, a, b: a + b,
    "sub": lambda n, a, b: a - b,
    "mul": lambda n, a, b: a * b,
    "div": lambda n, a, b: a / b,
    "pow": lambda n, a, b: np.power(a.astype(np.float64), b.astype(np.float64)),
    "maximum": lambda n, a, b: np.maximum(a, b),
    "minimum": lambda n, a, b: np.minimum(a, b),
    "neg": lambda n, x: -x,
    "abs": lambda n, x: np.abs(x),
    "sqrt": _in_double(np.sqrt),
    "rsqrt": _in_double(lambda x: 1 / np.sqrt(x)),
    "exp": _in_double(np.exp),
    "log": _in_double(np.log),
    "erf": _in_double(erf),
    "tanh": _in_double(np.tanh),
    "logistic": _in_double(lambda x: 1 / (1 + np.exp(-x))),
    "floor": lambda n, x: np.floor(x),
    "clamp": _clamp,
    "equal": lambda n, a, b: a == b,
    "less": lambda n, a, b: a < b,
    "greater": lambda n, a, b: a > b,
    "not": lambda n, x: ~x.astype(bool),
    "select": lambda n, c, a, b: np.where(c, a, b),
    "number": lambda n: np.asarray(n[0]),
}

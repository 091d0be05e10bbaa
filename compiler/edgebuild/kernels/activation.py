# SPDX-License-Identifier: Apache-2.0
"""Fused activations: a clamp of floats, or of the stored 8-bit numbers."""

from __future__ import annotations

import math

import numpy as np

from edgebuild.errors.kernels import OPERATOR_UNSUPPORTED
from edgebuild.kernels.calls import Node, Scalars
from edgebuild.kernels.fixedpoint import round_half_away
from edgebuild.model.graph import Operator

RANGES = {
    "none": (-math.inf, math.inf),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def of(operator: Operator) -> str:
    return str(operator.attributes.get("activation", "none"))


def apply(scalars: Scalars, node: Node, activation: str) -> Node:
    """The activation of a float value."""
    if activation == "tanh":
        return scalars.step("tanh", node)
    lo, hi = RANGES[activation]
    if math.isinf(lo) and math.isinf(hi):
        return node
    return scalars.step("clamp", node, numbers=(lo, hi))


def stored_range(operator: Operator, scale: float, zero: int) -> tuple[int, int]:
    """What int8 may hold after the activation (CalculateActivationRangeQuantized)."""
    name = of(operator)
    if name not in RANGES:
        raise OPERATOR_UNSUPPORTED(
            f"int8 {operator.kind} with activation {name}", where=f"operator {operator.source}"
        )
    lo, hi = RANGES[name]
    return stored(lo, scale, zero, -128), stored(hi, scale, zero, 127)


def stored(real: float, scale: float, zero: int, otherwise: int) -> int:
    """A real bound as int8; ``otherwise`` if it is infinite."""
    if math.isinf(real):
        return otherwise
    steps = round_half_away(np.float32(real) / np.float32(scale))
    return int(np.clip(zero + int(steps), -128, 127))

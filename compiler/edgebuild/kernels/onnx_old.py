# SPDX-License-Identifier: Apache-2.0
"""Opsets 7 to 12: what were attributes then are inputs now; Softmax took its input as a matrix.

Source: the version history in https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from edgebuild.kernels.onnx_reader import OnnxNode
from edgebuild.kernels.shapes import normal_axis

Converter = Callable[[OnnxNode], None]


def converter(o: OnnxNode) -> Converter | None:
    """How a node of its opset is converted; None for an operator without a kernel."""
    from edgebuild.kernels.onnx_operators import CONVERTERS

    since, old = _OLD.get(o.kind, (0, None))
    return old if old is not None and o.opset < since else CONVERTERS.get(o.kind)


def _now(o: OnnxNode, inputs: Sequence[tuple[str, Any]]) -> None:
    """The node with inputs in place of attributes of these names (None: absent)."""
    from edgebuild.kernels.onnx_operators import CONVERTERS

    for name, value in inputs:
        given = value is not None and o.builder.constant(f"{o.outputs[0]}/{name}", value)
        o.inputs.append(given or None)
    CONVERTERS[o.kind](o)


def _number(o: OnnxNode, name: str) -> Any:
    value = o.attributes.get(name)
    return None if value is None else np.array(float(value), np.float32)


def _numbers(o: OnnxNode, name: str) -> Any:
    value = o.get(name, [])
    return np.array(value, np.int64) if value else None


def _clip(o: OnnxNode) -> None:
    _now(o, [(name, _number(o, name)) for name in ("min", "max")])


def _slice(o: OnnxNode) -> None:
    _now(o, [(name, _numbers(o, name)) for name in ("starts", "ends", "axes")])


def _pad(o: OnnxNode) -> None:
    _now(o, [("pads", _numbers(o, "pads")), ("value", _number(o, "value"))])


def _resize(o: OnnxNode) -> None:
    """Opset 10, and Upsample: only scales, from the image's corner."""
    from edgebuild.kernels.onnx_operators import CONVERTERS

    scales = o.inputs[1:] or [
        o.builder.constant(f"{o.outputs[0]}/scales", np.array(o.get("scales", []), np.float32))
    ]
    o.inputs[1:] = [None, *scales]
    o.attributes["coordinate_transformation_mode"] = "asymmetric"
    o.attributes["nearest_mode"] = "floor"
    CONVERTERS["Resize"](o)


def _as_matrix(o: OnnxNode) -> None:
    """Softmax over all axes from one on."""
    from edgebuild.kernels.onnx_operators import CONVERTERS

    shape, output = o.shape(0), o.outputs[0]
    axis = normal_axis(o.get("axis", 1), len(shape))
    rows = (prod(shape[:axis]), prod(shape[axis:]))
    o.inputs[0] = o.emit("reshape", [o.name(0)], shape=rows)
    o.attributes["axis"] = 1
    CONVERTERS[o.kind](o)
    o.give(o.emit("reshape", [o.results[output]], shape=shape))


#: kind -> the opset that changed it, and the converter for older ones
_OLD: dict[str, tuple[int, Converter]] = {
    "Clip": (11, _clip),
    "Slice": (10, _slice),
    "Pad": (11, _pad),
    "Upsample": (99, _resize),
    "Resize": (11, _resize),
    "Softmax": (13, _as_matrix),
    "LogSoftmax": (13, _as_matrix),
}

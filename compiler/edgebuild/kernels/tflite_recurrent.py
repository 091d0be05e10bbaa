# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite's recurrent layers over a sequence, in float32, step by step (``recurrent``).

The interpreter keeps their states from one run to the next; here each run starts from zero, as
the interpreter's first one does: a run is one sequence, and bundles keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED, OPERATOR_UNSUPPORTED, TYPE_UNSUPPORTED
from edgebuild.kernels import recurrent
from edgebuild.kernels.recurrent import Array, Step, Weights, Writer
from edgebuild.kernels.tflite_parts import dequantised_weights, fused_activation
from edgebuild.kernels.tflite_reader import TfliteOperator

Converter = Callable[[TfliteOperator], None]

#: gates in the order that ``recurrent.lstm`` has: the file's is input, forget, cell, output
_ORDER = (0, 3, 1, 2)


def _weights(o: TfliteOperator, number: int) -> Array:
    data = dequantised_weights(o, number, 0).data
    assert data is not None
    return data.astype(np.float32)


def _gates(o: TfliteOperator, first: int) -> Array:
    return np.concatenate([_weights(o, first + gate) for gate in _ORDER])


def _activation(kind: str) -> recurrent.Activation:
    return lambda w, value: value if kind == "none" else w.emit(kind, value)


def _layer(o: TfliteOperator, w: Writer, weights: Weights, step: Step, states: int,
           *, time_major: bool) -> None:  # fmt: skip
    """The sequence of outputs, in the order of the input's axes."""
    x = o.name(0)
    if not time_major:
        x = w.emit("transpose", x, perm=(1, 0, 2))
    time, batch, _ = o.builder.tensors[x].shape
    hidden = weights.recurrent.shape[1]
    start = [w.constant(np.zeros((batch, hidden))) for _ in range(states)]
    outputs, _ = recurrent.unrolled(w, x, weights, step, start, backwards=False)
    o.builder.notes.append(f"{o.kind} is computed step by step: {time} steps, each run from zero")
    value = w.stacked(outputs, 0 if time_major else 1)
    o.add("reshape", [value], shape=o.builder.tensors[value].shape)


def _checked(o: TfliteOperator) -> Writer:
    """Raises for what is not a float32 sequence."""
    if o.builder.tensors[o.name(0)].dtype != "float32":
        raise TYPE_UNSUPPORTED(
            f"{o.kind} of {o.builder.tensors[o.name(0)].dtype}",
            where=f"operator {o.source}",
            hint="convert with float32 activations: weights alone may be quantised (dynamic range)",
        )
    if len(o.shape(0)) != 3 or not all(o.shape(0)):
        raise MODEL_MALFORMED(f"{o.kind} of shape {list(o.shape(0))}", where=o.source)
    return Writer(builder=o.builder, wish=f"{o.output}_step", source=o.source)


def _lstm(o: TfliteOperator) -> None:
    # fused_activation_function 0, cell_clip 1, proj_clip 2, time_major 3
    w = _checked(o)
    if not (o.has(1) and o.has(5)) or any(o.has(n) for n in (16, 17, 20, 21, 22, 23)):
        raise OPERATOR_UNSUPPORTED(
            f"operator {o.kind} with coupled gates, a projection or normalisation has no kernel",
            where=f"operator {o.source}",
            hint="export a plain LSTM",
        )
    inputs, own, bias = _gates(o, 1), _gates(o, 5), _gates(o, 12)
    weights = Weights(inputs=inputs, recurrent=own, bias=bias.reshape(-1))
    looks = [_weights(o, n) for n in (9, 11, 10)] if o.has(9) else []
    gate, middle = _activation("logistic"), _activation(fused_activation(o, 0))
    limit = float(o.option(1, "<f", 0.0))
    step = recurrent.lstm(w, weights, looks, [gate, middle, middle], limit=limit)
    _layer(o, w, weights, step, 2, time_major=bool(o.option(3, "<?", False)))


def _rnn(o: TfliteOperator) -> None:
    # time_major 0, fused_activation_function 1
    w = _checked(o)
    weights = Weights(inputs=_weights(o, 1), recurrent=_weights(o, 2),
                      bias=_weights(o, 3).reshape(-1))  # fmt: skip
    step = recurrent.plain(w, weights, _activation(fused_activation(o, 1)))
    _layer(o, w, weights, step, 1, time_major=bool(o.option(0, "<?", False)))


CONVERTERS: dict[str, Converter] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
}

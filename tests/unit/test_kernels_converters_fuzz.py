# SPDX-License-Identifier: Apache-2.0
"""Whatever shapes, constants and attributes an operator has: a graph, or a classified error."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import (
    onnx_algebra,
    onnx_attention,
    onnx_composed,
    onnx_images,
    onnx_indices,
    onnx_qoperators,
    onnx_reader,
    onnx_recurrent,
    tflite_images,
    tflite_reader,
    tflite_shapes,
)
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.optimise import rewrite
from tests.tools.one_operator import Case

ONNX = sorted(
    {
        **onnx_algebra.CONVERTERS,
        **onnx_attention.CONVERTERS,
        **onnx_composed.CONVERTERS,
        **onnx_images.CONVERTERS,
        **onnx_indices.CONVERTERS,
        **onnx_qoperators.CONVERTERS,
        **onnx_recurrent.CONVERTERS,
    }
)
TFLITE = sorted({**tflite_images.CONVERTERS, **tflite_shapes.CONVERTERS})
INTEGERS = {
    "axis", "blocksize", "group", "num_groups", "p", "ceil_mode", "batch_dims", "exclusive",
    "reverse", "upper", "keepdims", "transB", "channels_last", "select_last_index", "fmod",
}  # fmt: skip
LISTS = {"kernel_shape", "strides", "pads", "dilations", "output_padding", "output_shape", "axes"}

numbers = st.integers(-3, 6)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def arrays(draw: Any) -> np.ndarray:
    dtype = draw(st.sampled_from([np.float32, np.int64, np.int32, np.int8, np.uint8, np.bool_]))
    shape = draw(shapes)
    count = int(np.prod(shape))
    values = draw(st.lists(numbers, min_size=count, max_size=count))
    return np.array(values).astype(dtype).reshape(shape)


attributes = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(sorted(INTEGERS), numbers),
        **{name: st.lists(numbers, max_size=4) for name in sorted(LISTS)},
        "mode": st.sampled_from(["linear", "nearest", "CRD", "x"]),
        "coordinate_transformation_mode": st.sampled_from(["asymmetric", "align_corners", "x"]),
        "nearest_mode": st.sampled_from(["ceil", "x"]),
        "equation": st.sampled_from(["a->a", "ab,bc->ac", "ab->b", "a,b", "ab", "a,,b->", "x"]),
        "direction": st.sampled_from(["forward", "reverse", "bidirectional", "x"]),
        "auto_pad": st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID", "x"]),
    },
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ONNX), arrays(), st.lists(arrays(), max_size=4), attributes)
def test_onnx_nodes(kind: str, x: np.ndarray, constants: Any, chosen: Any) -> None:
    infos = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)]
    held = [numpy_helper.from_array(c, f"c{n}") for n, c in enumerate(constants)]
    names = ["x", *(f"c{n}" for n in range(len(constants)))]
    # an empty list has no type of its own
    kept = {k: v for k, v in chosen.items() if v != []}
    node = helper.make_node(kind, names, ["y"], **kept)
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    made = helper.make_model(helper.make_graph([node], "g", infos, outputs, held),
                             opset_imports=[helper.make_opsetid("", 18)])  # fmt: skip
    with contextlib.suppress(EdgebuildError):
        lower(rewrite(onnx_reader.read(made.SerializeToString(), "m", "d")))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TFLITE), arrays(), st.lists(arrays(), max_size=4), shapes, st.booleans(),
       numbers)  # fmt: skip
def test_tflite_operators(
    name: str, x: np.ndarray, constants: Any, out: Any, free: bool, number: int
) -> None:
    case = Case()
    inputs = [case.plain(x.shape, x.dtype.name), *(case.constant(c) for c in constants)]
    options, fields = _options(name, number)
    signature = [-1] * len(out) if free else []
    output = case.writer.tensor("y", out, "float32", signature=signature)
    case.writer.any(name, inputs, [output], options=options, **fields)
    with contextlib.suppress(EdgebuildError):
        lower(rewrite(tflite_reader.read(case.writer.finish(case.inputs, [output]), "m", "d")))


def _options(name: str, number: int) -> tuple[str, dict[str, Any]]:
    """The operator's table with one field set."""
    table = "".join(part.capitalize() for part in name.split("_")) + "Options"
    for field in ("Axis", "BlockSize", "Mode", "StrideW"):
        if hasattr(tflite, f"{table}Add{field}"):
            return table, {field: abs(number) % 2 if field == "Mode" else number}
    return "", {}

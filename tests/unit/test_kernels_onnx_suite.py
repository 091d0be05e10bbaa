# SPDX-License-Identifier: Apache-2.0
"""ONNX's own test of every operator: right, or refused with a code; never another answer.

Each case is read as it is, and again with all inputs but the first as constants, as exporters
write parameters.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import interpreter, onnx_reader
from edgebuild.kernels.optimise import optimise

#: case -> why ours is another answer
OTHERWISE = {
    **dict.fromkeys(
        (
            "test_training_dropout",
            "test_training_dropout_default",
            "test_training_dropout_default_mask",
            "test_training_dropout_mask",
        ),
        "nothing is dropped",
    ),
    "test_resize_downsample_scales_linear_align_corners": "whole sizes, as in ONNX Runtime",
}


def cases() -> Iterator[tuple[str, onnx.ModelProto, list[Any], list[Any]]]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            if case.kind != "node" or case.model is None or not case.data_sets:
                continue
            inputs, outputs = case.data_sets[0]
            arrays = all(isinstance(a, np.ndarray | np.generic) for a in (*inputs, *outputs))
            if arrays and not any(text.dtype.kind in "OU" for text in map(np.asarray, inputs)):
                yield case.name, case.model, list(inputs), list(outputs)


def bound(model: onnx.ModelProto, inputs: Sequence[Any], first: int) -> onnx.ModelProto:
    """The model with its inputs from ``first`` on as constants."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for info, array in list(zip(made.graph.input, inputs, strict=True))[first:]:
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(array), info.name))
    del made.graph.input[first:]
    return made


def wrong(model: onnx.ModelProto, inputs: Sequence[Any], expected: Sequence[Any]) -> str:
    """What is wrong with our answer; nothing if it is right."""
    graph = onnx_reader.read(model.SerializeToString(), "m", "d")
    found = interpreter.run_lowered(optimise(graph), inputs)
    for name, want in zip(graph.outputs, map(np.asarray, expected), strict=True):
        mine = found[name]
        if mine.shape != want.shape or mine.dtype != want.dtype:
            return f"{mine.dtype} {mine.shape} for {want.dtype} {want.shape}"
        if want.dtype.kind == "f" and not np.allclose(
            mine, want, rtol=1e-3, atol=1e-5, equal_nan=True
        ):
            return "other values"
        if want.dtype.kind != "f" and not np.array_equal(mine, want):
            return "other numbers"
    return ""


def outcome(model: onnx.ModelProto, inputs: Sequence[Any], expected: Sequence[Any]) -> str:
    try:
        return wrong(model, inputs, expected) or "right"
    except EdgebuildError:
        return "refused"


@pytest.mark.filterwarnings("ignore")
def test_every_operator_of_onnx() -> None:
    found: dict[str, set[str]] = {}
    with np.errstate(all="ignore"):
        for name, model, inputs, expected in cases():
            for first in {len(inputs), min(1, len(inputs))}:
                answer = outcome(bound(model, inputs, first), inputs[:first], expected)
                found.setdefault(name, set()).add(answer)
    bad = {n: a - {"right", "refused"} for n, a in found.items() if a - {"right", "refused"}}
    assert bad.keys() == OTHERWISE.keys(), bad
    counts = Counter("right" if "right" in answers else "refused" for answers in found.values())
    assert counts["right"] >= 880, counts

# SPDX-License-Identifier: Apache-2.0
"""Writes TensorFlow Lite files, so that tests can build any model (schema version 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "int8": tflite.TensorType.INT8,
    "int32": tflite.TensorType.INT32,
}

# kind -> (builtin code, version for float, version for int8, options type)
BUILTINS = {
    "conv": (3, 1, 3, tflite.BuiltinOptions.Conv2DOptions),
    "depthwise": (4, 1, 3, tflite.BuiltinOptions.DepthwiseConv2DOptions),
    "dense": (9, 1, 4, tflite.BuiltinOptions.FullyConnectedOptions),
    "add": (0, 1, 2, tflite.BuiltinOptions.AddOptions),
    "mean": (40, 1, 2, tflite.BuiltinOptions.ReducerOptions),
    "mul": (18, 1, 2, tflite.BuiltinOptions.MulOptions),
    "sigmoid": (14, 1, 2, tflite.BuiltinOptions.NONE),
    "hard_swish": (117, 1, 1, tflite.BuiltinOptions.HardSwishOptions),
    "softmax": (25, 1, 2, tflite.BuiltinOptions.SoftmaxOptions),
}

ACTIVATIONS = {
    "": tflite.ActivationFunctionType.NONE,
    "relu": tflite.ActivationFunctionType.RELU,
    "relu6": tflite.ActivationFunctionType.RELU6,
}


class Writer:
    """Tensors and operators of one subgraph, then ``finish()``."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1 << 16)
        self._buffers: list[bytes] = [b""]
        self._tensors: list[int] = []
        self._codes: list[tuple[int, int]] = []
        self._operators: list[int] = []
        self._closed: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        scale: Sequence[float] = (),
        zero_point: Sequence[int] = (),
        axis: int = 0,
        data: np.ndarray | None = None,
        signature: Sequence[int] = (),
        variable: bool = False,
    ) -> int:
        """Add a tensor; answers its index. ``signature``: its shape, with -1 for free extents."""
        b = self._builder
        buffer = 0
        if data is not None:
            self._buffers.append(np.ascontiguousarray(data).tobytes())
            buffer = len(self._buffers) - 1
        label = b.CreateString(name)
        dimensions = b.CreateNumpyVector(np.asarray(shape, np.int32))
        quantisation = self._quantisation(scale, zero_point, axis) if len(scale) else None
        free = b.CreateNumpyVector(np.asarray(signature, np.int32)) if len(signature) else None
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, dimensions)
        tflite.TensorAddType(b, TYPES[dtype])
        tflite.TensorAddBuffer(b, buffer)
        tflite.TensorAddIsVariable(b, variable)
        tflite.TensorAddName(b, label)
        if quantisation is not None:
            tflite.TensorAddQuantization(b, quantisation)
        if free is not None:
            tflite.TensorAddShapeSignature(b, free)
        self._tensors.append(tflite.TensorEnd(b))
        return len(self._tensors) - 1

    def _quantisation(self, scale: Sequence[float], zero: Sequence[int], axis: int) -> int:
        b = self._builder
        scales = b.CreateNumpyVector(np.asarray(scale, np.float32))
        zeros = b.CreateNumpyVector(np.asarray(zero, np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(b, axis)
        return int(tflite.QuantizationParametersEnd(b))

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        int8: bool = False,
        **options: int,
    ) -> None:
        """Add an operator with the options of its kind."""
        b = self._builder
        code, version, version_int8, options_type = BUILTINS[kind]
        key = (code, version_int8 if int8 else version)
        if key not in self._codes:
            self._codes.append(key)
        made = OPTIONS[kind](b, options) if kind in OPTIONS else None
        ins = b.CreateNumpyVector(np.asarray(inputs, np.int32))
        outs = b.CreateNumpyVector(np.asarray(outputs, np.int32))
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, self._codes.index(key))
        tflite.OperatorAddInputs(b, ins)
        tflite.OperatorAddOutputs(b, outs)
        if made is not None:
            tflite.OperatorAddBuiltinOptionsType(b, options_type)
            tflite.OperatorAddBuiltinOptions(b, made)
        self._operators.append(tflite.OperatorEnd(b))

    def close(self, inputs: Sequence[int], outputs: Sequence[int]) -> int:
        """End a subgraph that another one calls; answers its number. The main one comes last."""
        self._closed.append(self._subgraph(inputs, outputs))
        self._tensors, self._operators = [], []
        return len(self._closed)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file."""
        b = self._builder
        graph = self._subgraph(inputs, outputs)
        codes = self._vector(
            tflite.ModelStartOperatorCodesVector, [self._code(*k) for k in self._codes]
        )
        buffers = self._vector(
            tflite.ModelStartBuffersVector, [self._buffer(d) for d in self._buffers]
        )
        graphs = self._vector(tflite.ModelStartSubgraphsVector, [graph, *self._closed])
        text = b.CreateString("test model")
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddDescription(b, text)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    def _subgraph(self, inputs: Sequence[int], outputs: Sequence[int]) -> int:
        b = self._builder
        tensors = self._vector(tflite.SubGraphStartTensorsVector, self._tensors)
        operators = self._vector(tflite.SubGraphStartOperatorsVector, self._operators)
        ins = b.CreateNumpyVector(np.asarray(inputs, np.int32))
        outs = b.CreateNumpyVector(np.asarray(outputs, np.int32))
        name = b.CreateString("main")
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, ins)
        tflite.SubGraphAddOutputs(b, outs)
        tflite.SubGraphAddOperators(b, operators)
        tflite.SubGraphAddName(b, name)
        return int(tflite.SubGraphEnd(b))

    def _code(self, code: int, version: int) -> int:
        b = self._builder
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, code)
        tflite.OperatorCodeAddBuiltinCode(b, code)
        tflite.OperatorCodeAddVersion(b, version)
        return int(tflite.OperatorCodeEnd(b))

    def _buffer(self, data: bytes) -> int:
        b = self._builder
        vector = None
        if data:
            # The format asks for 16-byte alignment, so that runtimes can use weights in place.
            b.StartVector(1, len(data), 16)
            b.head -= len(data)
            b.Bytes[b.head : b.head + len(data)] = data
            vector = b.EndVector()
        tflite.BufferStart(b)
        if vector is not None:
            tflite.BufferAddData(b, vector)
        return int(tflite.BufferEnd(b))

    def _vector(self, start: Callable[[Any, int], Any], items: Sequence[int]) -> int:
        start(self._builder, len(items))
        for item in reversed(items):
            self._builder.PrependUOffsetTRelative(item)
        return int(self._builder.EndVector())


def _conv(b: Any, o: Mapping[str, int]) -> int:
    tflite.Conv2DOptionsStart(b)
    tflite.Conv2DOptionsAddPadding(b, tflite.Padding.SAME)
    tflite.Conv2DOptionsAddStrideW(b, o["stride"])
    tflite.Conv2DOptionsAddStrideH(b, o["stride"])
    tflite.Conv2DOptionsAddDilationWFactor(b, 1)
    tflite.Conv2DOptionsAddDilationHFactor(b, 1)
    tflite.Conv2DOptionsAddFusedActivationFunction(b, o["activation"])
    return int(tflite.Conv2DOptionsEnd(b))


def _depthwise(b: Any, o: Mapping[str, int]) -> int:
    tflite.DepthwiseConv2DOptionsStart(b)
    tflite.DepthwiseConv2DOptionsAddPadding(b, tflite.Padding.SAME)
    tflite.DepthwiseConv2DOptionsAddStrideW(b, o["stride"])
    tflite.DepthwiseConv2DOptionsAddStrideH(b, o["stride"])
    tflite.DepthwiseConv2DOptionsAddDepthMultiplier(b, 1)
    tflite.DepthwiseConv2DOptionsAddDilationWFactor(b, 1)
    tflite.DepthwiseConv2DOptionsAddDilationHFactor(b, 1)
    tflite.DepthwiseConv2DOptionsAddFusedActivationFunction(b, o["activation"])
    return int(tflite.DepthwiseConv2DOptionsEnd(b))


def _dense(b: Any, o: Mapping[str, int]) -> int:
    tflite.FullyConnectedOptionsStart(b)
    tflite.FullyConnectedOptionsAddFusedActivationFunction(b, o["activation"])
    return int(tflite.FullyConnectedOptionsEnd(b))


def _add(b: Any, o: Mapping[str, int]) -> int:
    tflite.AddOptionsStart(b)
    tflite.AddOptionsAddFusedActivationFunction(b, o["activation"])
    return int(tflite.AddOptionsEnd(b))


def _mul(b: Any, o: Mapping[str, int]) -> int:
    tflite.MulOptionsStart(b)
    tflite.MulOptionsAddFusedActivationFunction(b, o["activation"])
    return int(tflite.MulOptionsEnd(b))


def _mean(b: Any, o: Mapping[str, int]) -> int:
    tflite.ReducerOptionsStart(b)
    tflite.ReducerOptionsAddKeepDims(b, bool(o.get("keep")))
    return int(tflite.ReducerOptionsEnd(b))


def _hard_swish(b: Any, _o: Mapping[str, int]) -> int:
    tflite.HardSwishOptionsStart(b)
    return int(tflite.HardSwishOptionsEnd(b))


def _softmax(b: Any, _o: Mapping[str, int]) -> int:
    tflite.SoftmaxOptionsStart(b)
    tflite.SoftmaxOptionsAddBeta(b, 1.0)
    return int(tflite.SoftmaxOptionsEnd(b))


OPTIONS: Mapping[str, Callable[[Any, Mapping[str, int]], int]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": _dense,
    "add": _add,
    "mul": _mul,
    "mean": _mean,
    "hard_swish": _hard_swish,
    "softmax": _softmax,
}

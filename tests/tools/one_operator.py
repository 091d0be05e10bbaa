# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite files of one operator, of any kind: what importer and numerics tests are fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tflite

from tests import tflite_writer

tflite_writer.TYPES.update(
    {
        "uint8": tflite.TensorType.UINT8,
        "int16": tflite.TensorType.INT16,
        "int64": tflite.TensorType.INT64,
        "bool": tflite.TensorType.BOOL,
        "float16": tflite.TensorType.FLOAT16,
    }
)


class OneOperator(tflite_writer.Writer):
    """A Writer that knows every operator of the schema by its name."""

    def any(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        version: int = 1,
        options: str = "",
        **fields: Any,
    ) -> None:
        """Add operator ``name`` with its table ``options`` and that one's fields (schema names)."""
        b = self._builder
        key = (getattr(tflite.BuiltinOperator, name), version)
        if key not in self._codes:
            self._codes.append(key)
        table = self._table(options, fields) if options else None
        ins = b.CreateNumpyVector(np.asarray(inputs, np.int32))
        outs = b.CreateNumpyVector(np.asarray(outputs, np.int32))
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, self._codes.index(key))
        tflite.OperatorAddInputs(b, ins)
        tflite.OperatorAddOutputs(b, outs)
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, options))
            tflite.OperatorAddBuiltinOptions(b, table)
        self._operators.append(tflite.OperatorEnd(b))

    def _code(self, code: int, version: int) -> int:
        """Numbers past 127 live in the wider field alone."""
        b = self._builder
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(b, code)
        tflite.OperatorCodeAddVersion(b, version)
        return int(tflite.OperatorCodeEnd(b))

    def _table(self, name: str, fields: Mapping[str, Any]) -> int:
        getattr(tflite, f"{name}Start")(self._builder)
        for field, value in fields.items():
            getattr(tflite, f"{name}Add{field}")(self._builder, value)
        return int(getattr(tflite, f"{name}End")(self._builder))


class Case:
    """One operator's file: int8 tensors have one scale; ``inputs`` are what the model takes."""

    def __init__(self) -> None:
        self.writer = OneOperator()
        self.inputs: list[int] = []

    def int8(self, shape: Sequence[int], scale: float = 0.05, zero: int = 3) -> int:
        made = self.writer.tensor(
            f"x{len(self.inputs)}", shape, "int8", scale=[scale], zero_point=[zero]
        )
        self.inputs.append(made)
        return made

    def plain(self, shape: Sequence[int], dtype: str = "float32") -> int:
        made = self.writer.tensor(f"x{len(self.inputs)}", shape, dtype)
        self.inputs.append(made)
        return made

    def constant(self, data: Any, **quantised: Any) -> int:
        array = np.asarray(data)
        return self.writer.tensor(
            f"c{array.shape}", array.shape, array.dtype.name, data=array, **quantised
        )

    def out(self, shape: Sequence[int], scale: float | None = 0.07, zero: int = -5,
            dtype: str = "int8") -> int:  # fmt: skip
        quantised = {} if scale is None else {"scale": [scale], "zero_point": [zero]}
        return self.writer.tensor("y", shape, dtype, **quantised)

    def file(self, name: str, inputs: Sequence[int], output: int, **options: Any) -> bytes:
        self.writer.any(name, inputs, [output], **options)
        return self.writer.finish(self.inputs, [output])

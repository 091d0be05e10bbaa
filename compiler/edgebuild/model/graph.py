# SPDX-License-Identifier: Apache-2.0
"""The graph: a model after import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Attributes = Mapping[str, Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in (
        "float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32",
        "int64", "uint64", "bool",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """Affine quantisation: real = scale * (stored - zero_point).

    ``axis`` is the dimension that the vectors run along; None means one scale for all.
    Source: TFLite 8-bit quantisation specification.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A value in a graph. ``data`` is present exactly for constants. Shapes are static."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None
    data: NDArray[Any] | None = field(default=None, repr=False, compare=False)

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator. ``kind`` is our name (``conv2d``); ``source`` is the file's ("17 CONV_2D")."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A model: tensors by name, operators in an order in which they can run."""

    name: str
    format: str
    digest: str
    tensors: Mapping[str, Tensor]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    description: str = ""
    notes: tuple[str, ...] = ()

# SPDX-License-Identifier: Apache-2.0
"""One block of bytes per kernel holds all of its constants; schedules reserve parts of it.

While a function is written, each part is reserved with its size and with the code that will make
its contents from the operator's own constants. ``pack`` runs that code, once per operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Constants = dict[str, Array]
Maker = Callable[[Constants], Array]

ALIGNMENT = 64


class Block:
    """The parts reserved so far."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[int, str, int, Maker]] = {}
        self._size = 0

    @property
    def size_bytes(self) -> int:
        return self._size

    def reserve(self, key: str, dtype: str, count: int, maker: Maker) -> int:
        """The element offset of the part; equal keys are one part."""
        if key not in self._parts:
            size = np.dtype(dtype).itemsize * count
            self._parts[key] = (self._size, dtype, count, maker)
            self._size += -(-size // ALIGNMENT) * ALIGNMENT
        return self._parts[key][0] // np.dtype(dtype).itemsize

    def pack(self, names: Sequence[str], values: Sequence[Array]) -> bytes:
        """The block's bytes for one operator. ValueError: a maker gave another size."""
        constants = dict(zip(names, values, strict=True))
        result = np.zeros(self._size, np.uint8)
        for key, (offset, dtype, count, maker) in self._parts.items():
            data = np.ascontiguousarray(maker(constants)).astype(dtype).reshape(-1)
            if data.size != count:
                raise ValueError(f"constant {key} has {data.size} elements, {count} were reserved")
            result[offset : offset + data.nbytes] = data.view(np.uint8)
        return result.tobytes()


def padded(array: Array, length: int) -> Array:
    """The last axis grown to ``length`` with zeros."""
    array = np.asarray(array)
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, length - array.shape[-1])])

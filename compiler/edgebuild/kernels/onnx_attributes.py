# SPDX-License-Identifier: Apache-2.0
"""An ONNX node's attributes: one that no converter asks for changes the answer unseen.

Newer opsets add attributes to operators that are known. What is neither asked for nor the
schema's default is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    from edgebuild.kernels.onnx_reader import OnnxNode

#: of no consequence for the answer, or only for an output that is refused when it is there
HARMLESS = frozenset(
    {"stash_type", "precision", "saturate", "round_mode", "storage_order", "training_mode",
     "momentum", "spatial", "consumed_inputs", "seed", "ratio", "is_test", "softmax_precision",
     "qk_matmul_output_mode", "kernel_shape", "num_outputs", "allowzero",
     "hidden_size"}
)  # fmt: skip


class Attributes(dict[str, Any]):
    """A dictionary that remembers which of its keys were asked for."""

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(pairs)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.asked.update(super().keys())
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def check(o: OnnxNode) -> None:
    """Raises OPERATOR_UNSUPPORTED for an attribute that nobody asked for."""
    given = o.attributes
    if not isinstance(given, Attributes):
        return
    for name in sorted(dict.keys(given) - given.asked - HARMLESS):
        if not _is_default(o, name, dict.__getitem__(given, name)):
            raise o.unsupported(f"with the attribute {name}")


def _is_default(o: OnnxNode, name: str, value: Any) -> bool:
    """As ONNX says. What its schema does not have is no attribute (ONNX Runtime refuses it too)."""
    try:
        schema = onnx.defs.get_schema(o.kind, o.opset, "")
    except onnx.defs.SchemaError:
        return True  # not ONNX's own: there is nothing to compare with
    found = schema.attributes.get(name)
    if found is None or not found.default_value.name:
        return False
    default = onnx.helper.get_attribute_value(found.default_value)
    return bool(value == (default.decode() if isinstance(default, bytes) else default))

# SPDX-License-Identifier: Apache-2.0
"""Weights beside an ONNX file, as PyTorch's exporter leaves them by default, put into it.

Only a plain file name in the model's own folder is followed. What cannot be read so is left as it
is, and refused by the reader (E208).
"""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

LIMIT_BYTES = 1 << 30


def merged(data: bytes, folder: Path) -> bytes:
    """The model as one file; ``data`` itself where its weights are all inside."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError):
        return data  # the reader says what is wrong
    outside = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if not outside:
        return data
    total = len(data)
    for tensor in outside:
        found = _content(tensor, folder)
        if found is None:
            return data
        total += len(found)
        if total > LIMIT_BYTES:
            return data
        tensor.raw_data = found
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    return bytes(model.SerializeToString(deterministic=True))


def _content(tensor: onnx.TensorProto, folder: Path) -> bytes | None:
    """A tensor's bytes, if the file beside the model has them all."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "")
    if not name or name != Path(name).name or name in (".", ".."):
        return None
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
        if offset < 0 or length > LIMIT_BYTES or (folder / name).is_symlink():
            return None
        with (folder / name).open("rb") as file:
            file.seek(offset)
            found = file.read(length if length >= 0 else LIMIT_BYTES)
    except (OSError, ValueError):
        return None
    return found if length in (-1, len(found)) else None

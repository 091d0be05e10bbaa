# SPDX-License-Identifier: Apache-2.0
"""Model files as graphs. Never imports TVM, and never trusts the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgebuild.errors.kernels import (
    MODEL_FORMAT,
    MODEL_TOO_LARGE,
    MODEL_UNREADABLE,
)
from edgebuild.kernels import naming, tflite_reader
from edgebuild.model.graph import Graph

LIMIT_FILE_BYTES = 1 << 30


def load(path: Path, name: str | None = None) -> Graph:
    """Read a .tflite or .onnx file.

    Raises MODEL_UNREADABLE, MODEL_FORMAT, MODEL_NAME, or what the format's reader finds wrong.
    """
    data = _bytes(path)
    identifier = naming.identifier(path) if name is None else naming.checked(name)
    if data[4:8] == b"TFL3":
        return tflite_reader.read(data, identifier, _digest(data))
    if path.suffix.lower() == ".onnx":
        from edgebuild.kernels import onnx_reader

        return onnx_reader.read(data, identifier, _digest(data))
    raise MODEL_FORMAT(
        f"{path.name} is neither a TensorFlow Lite nor an ONNX file",
        where=str(path),
        hint="give a .tflite or .onnx file",
    )


def digest(path: Path) -> str:
    """What a model is known by. Raises MODEL_UNREADABLE."""
    return _digest(_bytes(path))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMIT_FILE_BYTES:
            raise MODEL_TOO_LARGE(f"{path.name} is over {LIMIT_FILE_BYTES} bytes", where=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise MODEL_UNREADABLE(f"{error.strerror or error}", where=str(path)) from error
    if path.suffix.lower() != ".onnx":
        return data
    from edgebuild.kernels import onnx_external

    return onnx_external.merged(data, path.parent)

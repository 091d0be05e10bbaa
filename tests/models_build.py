# SPDX-License-Identifier: Apache-2.0
"""Models of the kinds that people deploy, built from a seed: no file has to be at hand.

A network is a list of layers with weights; ``to_tflite`` and ``to_onnx`` write the same network
in either format, in float32 or quantised to int8 (ONNX: to uint8 activations, as ONNX Runtime's
own guide advises for x86). Weights are random with the variance that keeps activations near
one, so that fixed quantisation ranges are plausible.

    python -m tests.models_build FOLDER      writes the set that benchmarks/README.md speaks of
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.models_network import Network, gemm, mobilenet_v1, mobilenet_v2
from tests.models_onnx import to_onnx, transformer
from tests.models_tflite import to_tflite

__all__ = ["Network", "gemm", "mobilenet_v1", "mobilenet_v2", "to_onnx", "to_tflite", "transformer"]


def write(net: Network, folder: Path) -> list[Path]:
    """The network's four files: ``<name>_f32.tflite``, ``.onnx`` and ``<name>_int8…``."""
    paths = []
    for int8 in (False, True):
        stem = f"{net.name}_{'int8' if int8 else 'f32'}"
        for suffix, convert in ((".tflite", to_tflite), (".onnx", to_onnx)):
            path = folder / f"{stem}{suffix}"
            path.write_bytes(convert(net, int8=int8))
            paths.append(path)
    return paths


GEMM_SIZES = (64, 256, 512, 1024)
GEMV_SIZES = (64, 256, 1024, 2048)


def write_all(folder: Path) -> None:
    """The set that the benchmarks measure."""
    for make in (mobilenet_v1, mobilenet_v2):
        for pixels in (96, 160, 224):
            write(make(pixels), folder)
    for n in GEMM_SIZES:
        write(gemm(n, n, n), folder)
    for n in GEMV_SIZES:
        write(gemm(1, n, n), folder)
    (folder / "transformer.onnx").write_bytes(transformer())


def main() -> None:
    """Write them all into the folder that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_all(folder)


if __name__ == "__main__":
    main()

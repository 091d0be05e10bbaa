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

from tests.models_network import Network
from tests.models_onnx import to_onnx
from tests.models_tflite import to_tflite
from tests.models_transformers import transformer, vision_transformer
from tests.models_zoo import (
    autoencoder,
    ds_cnn,
    efficientnet,
    gemm,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet8,
)

__all__ = [
    "Network",
    "autoencoder",
    "ds_cnn",
    "efficientnet",
    "gemm",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3",
    "resnet8",
    "to_onnx",
    "to_tflite",
    "transformer",
    "vision_transformer",
]


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
    """The set that the benchmarks measure: models that the schedules were written with."""
    for make in (mobilenet_v1, mobilenet_v2):
        for pixels in (96, 160, 224):
            write(make(pixels), folder)
    for n in GEMM_SIZES:
        write(gemm(n, n, n), folder)
    for n in GEMV_SIZES:
        write(gemm(1, n, n), folder)
    (folder / "transformer.onnx").write_bytes(transformer())
    # MLPerf Tiny publishes its keyword spotter in int8 only.
    (folder / "kws_f32.tflite").write_bytes(to_tflite(ds_cnn(), int8=False))
    (folder / "kws_f32.onnx").write_bytes(to_onnx(ds_cnn(), int8=False))


def write_others(folder: Path) -> None:
    """Models of the same kinds and other sizes, on which nothing was tuned."""
    for net in (
        mobilenet_v1(96, 0.25, 2),
        mobilenet_v1(128, 0.5),
        mobilenet_v2(128, 0.35),
        mobilenet_v3(160),
        efficientnet(160, lite=True),
        ds_cnn(172),
        ds_cnn(76, 5),
        resnet8((12, 25, 51)),
        resnet8((24, 48, 96), 100),
        autoencoder(320, 96, 12),
        autoencoder(257, 70, 5),
    ):
        write(net, folder)
    swish = efficientnet(128, lite=False)
    (folder / f"{swish.name}_f32.tflite").write_bytes(to_tflite(swish, int8=False))
    (folder / f"{swish.name}_f32.onnx").write_bytes(to_onnx(swish, int8=False))
    (folder / "transformer_64.onnx").write_bytes(transformer(tokens=64))
    (folder / "transformer_384_50.onnx").write_bytes(transformer(3, 384, 6, tokens=50))
    (folder / "vision_transformer.onnx").write_bytes(vision_transformer())


def main() -> None:
    """Write them all into the folder that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_all(folder)
    write_others(folder)


if __name__ == "__main__":
    main()

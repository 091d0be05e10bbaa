# SPDX-License-Identifier: Apache-2.0
"""The child process that runs a model through TVM's own importer, without any schedule of ours.

    python -m edgebuild.kernels.tvm_oracle MODEL OUT < inputs.npz

Writes outputs.npz into OUT, or refused.txt when TVM cannot import the model. It shares no code
with the compiler beyond TVM, which makes it a second opinion on float models.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def imported(model: Path) -> Any:
    """The model as TVM's Relax sees it."""
    if model.suffix == ".onnx":
        import onnx
        from tvm.relax.frontend.onnx import from_onnx

        return from_onnx(onnx.load(model), keep_params_in_input=False)
    import tflite
    from tvm.relax.frontend.tflite import from_tflite

    return from_tflite(tflite.Model.GetRootAsModel(model.read_bytes(), 0))


def outputs(model: Path, inputs: Sequence[Any]) -> list[Any]:
    """The model's outputs on the host, with TVM's default lowering."""
    import tvm
    from tvm import relax

    module = relax.transform.DecomposeOpsForInference()(imported(model))
    executable = tvm.compile(relax.get_pipeline("zero")(module), target="llvm")
    machine = relax.VirtualMachine(executable, tvm.cpu())
    result = machine["main"](*(tvm.runtime.tensor(array) for array in inputs))
    found = list(result) if isinstance(result, Sequence | tvm.ir.Array) else [result]
    return [value.numpy() for value in found]


def main(arguments: Sequence[str]) -> int:
    model, out = Path(arguments[0]), Path(arguments[1])
    with np.load(io.BytesIO(sys.stdin.buffer.read())) as archive:
        inputs = [archive[name] for name in sorted(archive.files)]
    try:
        found = outputs(model, inputs)
    except Exception as error:  # whatever TVM's importer trips over, the model is not at fault
        (out / "refused.txt").write_text(f"{type(error).__name__}: {error}"[:2000])
        return 0
    np.savez(out / "outputs.npz", **{f"{n:04}": array for n, array in enumerate(found)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

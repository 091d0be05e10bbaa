# SPDX-License-Identifier: Apache-2.0
"""Working memory of one inference: the arena of a bundle beside LiteRT's for the same model.

    python -m benchmarks.arena [MODEL…] [--target T…] [--json]

Ours is the plan of the bundle, the kernels' scratch included; the caller's input and output
buffers are its own. LiteRT's is read off a live interpreter: from the first to the last byte of
the tensors that it allocated, its temporaries included. Its inputs and outputs lie in there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgebuild.config import profiles
from edgebuild.host import paths
from edgebuild.kernels import bundle, importer
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.placement import Block, extent, place_in
from tests import models_build

TARGETS = ("x86_64", "rpi4")
PIXELS = (96, 160, 224)


def models(folder: Path) -> Iterator[Path]:
    """The models in the tree, MobileNets and a transformer."""
    yield from sorted((paths.data_dir() / "tests" / "models").glob("*.tflite"))
    for make in (models_build.mobilenet_v1, models_build.mobilenet_v2):
        for pixels in PIXELS:
            written = models_build.write(make(pixels), folder)
            yield from sorted(path for path in written if path.suffix == ".tflite")
    (folder / "transformer.onnx").write_bytes(models_build.transformer())
    yield folder / "transformer.onnx"


def ours(model: Path, target: str) -> dict[str, int]:
    """Bytes of values, of scratch on top of them, both together, and the caller's buffers."""
    cpu = profiles.load(target, paths.data_dir() / "targets").cpu
    card = bundle.plan(model, cpu, name="model")
    rows = [row for row in card["memory_plan"] if not row["tensor"].startswith("scratch ")]
    values = max((row["offset"] + row["bytes"] for row in rows), default=0)
    caller = sum(value["bytes"] for value in (*card["inputs"], *card["outputs"]))
    arena: int = card["arena_bytes"]
    return {"values": values, "scratch": max(0, arena - values), "arena": arena, "caller": caller}


def greedy(model: Path) -> int:
    """Every tensor of the file, inputs and outputs too, largest first where it fits: no runtime's
    figure, but what such a planner gives for models that LiteRT cannot read."""  # fmt: skip
    lowered = lower(importer.load(model, "model"))
    first = dict.fromkeys(lowered.graph.inputs, 0)
    last = dict(first)
    for number, call in enumerate(lowered.calls):
        for name in (*call.inputs, call.output):
            root = lowered.root(name)
            first.setdefault(root, number)
            last[root] = number
    last.update((lowered.root(name), len(lowered.calls)) for name in lowered.graph.outputs)
    blocks = [
        Block(names=(name,), size_bytes=lowered.values[name].size_bytes, first=at, last=last[name])
        for name, at in first.items()
        if lowered.values[name].data is None
    ]
    return extent(place_in(sorted(blocks, key=lambda b: (-b.size_bytes, b.first, b.names))))


def litert(model: Path) -> dict[str, int]:
    """Arena bytes by resolver. Empty where LiteRT is not installed or the model is not its own."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        return {}
    if model.suffix != ".tflite":
        return {}
    kinds = {
        "reference": OpResolverType.BUILTIN_REF,
        "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        # XNNPACK keeps what lies between its operators elsewhere: here, the rest
        "xnnpack": OpResolverType.AUTO,
    }
    found = {}
    for name, kind in kinds.items():
        interpreter = Interpreter(
            model_path=str(model), experimental_op_resolver_type=kind, num_threads=1
        )
        interpreter.allocate_tensors()
        found[name] = _span(interpreter)
    return found


def _span(interpreter: Any) -> int:
    """Bytes from the first to the last tensor that is not part of the file."""
    inner = interpreter._interpreter
    made = {*inner.InputIndices(), *inner.OutputIndices()}
    for node in range(inner.NumNodes()):
        made.update(inner.NodeOutputs(node))
    begin, end = [], []
    for number in range(inner.NumTensors(0)):
        try:
            # a tensor that was never allocated raises here, and would crash below
            inner.TensorType(number, 0)
            inner.TensorSize(number, 0)
            tensor = interpreter.tensor(number)()
        except ValueError:
            continue
        if number in made or not inner.TensorName(number, 0):  # a kernel's temporary has no name
            address = tensor.__array_interface__["data"][0]
            begin.append(address)
            end.append(address + tensor.nbytes)
    return max(end, default=0) - min(begin, default=0)


def measure(chosen: Sequence[Path], targets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row for each model and target."""
    for model in chosen:
        theirs, plain = litert(model), greedy(model)
        for target in targets:
            mine = ours(model, target)
            share = mine["arena"] / max(1, theirs.get("reference", plain))
            yield {"model": model.stem, "target": target, **mine, "greedy": plain,
                   "litert": theirs, "share": round(share, 3)}  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """One row of the Markdown table."""
    sizes = [row[key] for key in ("values", "scratch", "arena", "caller")]
    sizes += [row["litert"].get(key) for key in ("reference", "builtin", "xnnpack")]
    cells = ["" if size is None else f"{size:,}" for size in (*sizes, row["greedy"])]
    return f"| {row['model']} | {row['target']} | {' | '.join(cells)} | {row['share']:.2f} |"


HEAD = (
    "| model | target | values | scratch | arena | caller's | LiteRT reference | LiteRT built in "
    "| LiteRT, XNNPACK | greedy | share |"
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--target", action="append", metavar="T")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options.models or list(models(Path(folder))), options.target or TARGETS)
        if options.json:
            print(json.dumps(list(rows), indent=1, sort_keys=True))
            return
        print(HEAD, "|" + "---|" * HEAD.count("| "), sep="\n")
        for row in rows:
            print(line(row), flush=True)


if __name__ == "__main__":
    main()

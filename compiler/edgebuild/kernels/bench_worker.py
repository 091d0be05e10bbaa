# SPDX-License-Identifier: Apache-2.0
"""The process that times a model's inferences: all contestants in turn, in one run.

Reads one job as JSON from standard input and writes one answer to standard output. Only this
module imports the other runtimes: they are optional, and a crash of one is one failed step.

Job: ``{"name", "seed", "seconds", "threads", "contestants": {NAME: {"path", …}}}``.
Answer: ``{"name", "samples_ns": {NAME: [..]}, "walls_ns": {NAME: [..]}, "layers_ns": [[..], ..],
"difference": {NAME: float | null}, "absent": {NAME: reason}}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SAMPLE_NS = 50_000  # a sample lasts at least this long, so that reading the clock costs nothing
MIN_SAMPLES = 101  # fewer have no 99th percentile
WARM_UP_NS = 20_000_000
ALIGNMENT_BYTES = 64
PROFILE_ROUNDS = 101
PROFILE_NS = 3_000_000  # of one round: short, so that few rounds meet an interruption
QUIET = 1.02  # the wall's time over the thread's own, where nothing else ran


class Spent(NamedTuple):
    """Nanoseconds of some inferences: the thread's own, and the wall's."""

    own_ns: int
    wall_ns: int


@dataclass(slots=True)
class Contestant:
    """One runtime with one model loaded: ``run(n)`` infers n times and answers what that took.

    ``outputs`` answers what it computed, or what the runtime's reference kernels do.
    """

    run: Callable[[int], Spent]
    outputs: Callable[[], list[Array]]
    repetitions: int = 1
    samples_ns: list[float] = field(default_factory=list)
    walls_ns: list[float] = field(default_factory=list)

    def sample(self) -> None:
        """Add one sample."""
        spent = self.run(self.repetitions)
        self.samples_ns.append(spent.own_ns / self.repetitions)
        self.walls_ns.append(spent.wall_ns / self.repetitions)


def timed(call: Callable[[], object], threads: int) -> Callable[[int], Spent]:
    """A loop over ``call`` that takes off what the loop itself costs.

    With one thread its own time is measured too, as in harness.c: what else the machine does
    is not in it. Several threads have the wall's only.
    """
    clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns

    def loop(function: Callable[[], object], repetitions: int) -> Spent:
        own, wall = clock(), time.perf_counter_ns()
        for _ in range(repetitions):
            function()
        return Spent(wall_ns=time.perf_counter_ns() - wall, own_ns=clock() - own)

    empty_ns = min(loop(int, 1000).wall_ns for _ in range(20)) / 1000

    def run(repetitions: int) -> Spent:
        spent, empty = loop(call, repetitions), int(empty_ns * repetitions)
        return Spent(spent.own_ns - empty, spent.wall_ns - empty)

    return run


def random_input(generator: np.random.Generator, shape: Sequence[int], dtype: str) -> Array:
    """Uniform over [-1, 1) or over all values of an 8-bit type; other integers are small."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return generator.uniform(-1, 1, tuple(shape)).astype(kind)
    if kind.itemsize == 1 and kind.kind in "iu":
        limits = np.iinfo(kind)
        return generator.integers(limits.min, limits.max + 1, tuple(shape)).astype(kind)
    return generator.integers(0, 2, tuple(shape)).astype(kind)


def twin_value(value: Array, shape: Sequence[int], kind: str) -> Array:
    """``value`` as the same network in ONNX takes it: planes apart, bytes without sign."""
    if list(value.shape) != list(shape) and value.ndim == 4:
        value = np.ascontiguousarray(value.transpose(0, 3, 1, 2))
    if value.dtype == np.int8 and kind == "tensor(uint8)":
        value = (value.astype(np.int16) + 128).astype(np.uint8)
    return value


def aligned(size_bytes: int) -> Array:
    """Zeroed bytes on an alignment boundary."""
    raw = np.zeros(size_bytes + ALIGNMENT_BYTES, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[skip : skip + size_bytes]


def pointers(arrays: Sequence[Array]) -> ctypes.Array[ctypes.c_void_p]:
    """A C array of the arrays' addresses."""
    return (ctypes.c_void_p * max(1, len(arrays)))(*[a.ctypes.data for a in arrays])


class Bundle:
    """Our own: the shared object made from harness.c and a bundle."""

    def __init__(
        self, library: str, card: Mapping[str, Any], inputs: Sequence[Array], threads: int = 1
    ) -> None:
        self._library = ctypes.CDLL(library)
        if threads == 1:
            self._library.edge_bench_own_time()
        for name in ("edge_bench_run", "edge_bench_profile", "edge_bench_arena_bytes"):
            if hasattr(self._library, name):
                getattr(self._library, name).restype = ctypes.c_int64
        self._inputs = [np.ascontiguousarray(each) for each in inputs]
        self._outputs = [aligned(each["bytes"]) for each in card["outputs"]]
        self._types = [(each["shape"], each["dtype"]) for each in card["outputs"]]
        self._arena = aligned(self._library.edge_bench_arena_bytes())
        self._arguments = (
            pointers(self._inputs),
            pointers(self._outputs),
            ctypes.c_void_p(self._arena.ctypes.data),
        )

    def run(self, repetitions: int) -> Spent:
        """Infer. Raises RuntimeError with the bundle's error."""
        wall = ctypes.c_int64(0)
        elapsed: int = self._library.edge_bench_run(
            *self._arguments, ctypes.c_int64(repetitions), ctypes.byref(wall)
        )
        if elapsed < 0:
            raise RuntimeError(f"the bundle answered {elapsed}")
        return Spent(elapsed, wall.value)

    def profile(self, repetitions: int, operators: int) -> tuple[Spent, list[float]]:
        """The wall's nanoseconds of each operator in one inference, and of all of them."""
        spent, wall = np.zeros(operators, np.float64), ctypes.c_int64(0)
        elapsed = self._library.edge_bench_profile(
            *self._arguments,
            ctypes.c_int64(repetitions),
            ctypes.byref(wall),
            ctypes.c_int32(operators),
            ctypes.c_void_p(spent.ctypes.data),
        )
        if elapsed < 0:
            raise RuntimeError(f"the bundle answered {elapsed}")
        return Spent(elapsed, wall.value), [float(each) for each in spent / repetitions]

    def outputs(self) -> list[Array]:
        """The outputs of the last inference."""
        return [
            buffer.view(dtype).reshape(shape).copy()
            for buffer, (shape, dtype) in zip(self._outputs, self._types, strict=True)
        ]


def litert(path: str, inputs: Sequence[Array], threads: int) -> Contestant:
    """LiteRT with its default delegate (XNNPACK); its outputs are its reference kernels'."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def loaded(**options: Any) -> Any:
        interpreter = Interpreter(path, **options)
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        return interpreter

    def reference() -> list[Array]:
        # The fast kernels round otherwise than the specification; bench compares with the latter.
        interpreter = loaded(experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.invoke()
        return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]

    # The wrapper's own method checks reference counts first: not the runtime's time.
    invoke = loaded(num_threads=threads)._interpreter.Invoke
    return Contestant(run=timed(invoke, threads), outputs=reference)


def onnxruntime(path: str, inputs: Sequence[Array], threads: int) -> Contestant:
    """ONNX Runtime with every graph optimisation and bound inputs and outputs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for info, value in zip(session.get_inputs(), inputs, strict=True):
        binding.bind_cpu_input(info.name, twin_value(value, info.shape, info.type))
    for info in session.get_outputs():
        binding.bind_output(info.name)
    run, bound = session._sess.run_with_iobinding, binding._iobinding
    return Contestant(
        run=timed(lambda: run(bound, None), threads), outputs=binding.copy_outputs_to_cpu
    )


RUNTIMES: Mapping[str, Callable[[str, Sequence[Array], int], Contestant]] = {
    "litert": litert,
    "onnxruntime": onnxruntime,
}


def interleave(contestants: Mapping[str, Contestant], budget_ns: int) -> None:
    """Sample the contestants in turn until the time is spent, so that noise meets them all."""
    for each in contestants.values():
        spent, runs = each.run(1).wall_ns, 1
        while spent < WARM_UP_NS // len(contestants):
            spent, runs = spent + each.run(runs).wall_ns, runs * 2
        each.repetitions = max(1, round(SAMPLE_NS / max(1, each.run(runs).own_ns / runs)))
    end = time.perf_counter_ns() + budget_ns
    done = 0
    while done < MIN_SAMPLES or time.perf_counter_ns() < end:
        for each in contestants.values():
            each.run(1)  # the others have been through the caches
            each.sample()
        done += 1


def difference(mine: Sequence[Array], theirs: Sequence[Array]) -> float | None:
    """Largest absolute difference of any output element; infinite where sizes differ."""
    if [a.dtype for a in mine] != [b.dtype for b in theirs]:
        return None  # a twin that answers in other units
    if [a.size for a in mine] != [b.size for b in theirs]:
        return float("inf")
    return max(
        (
            float(np.max(np.abs(a.astype(np.float64).ravel() - b.astype(np.float64).ravel())))
            for a, b in zip(mine, theirs, strict=True)
            if a.size
        ),
        default=0.0,
    )


def measure(model: Mapping[str, Any]) -> dict[str, Any]:
    """Run one model's contestants against one another."""
    ours = model["contestants"]["edgebuild"]
    card = ours["card"]
    generator = np.random.default_rng(model["seed"])
    inputs = [random_input(generator, each["shape"], each["dtype"]) for each in card["inputs"]]
    bundle = Bundle(ours["path"], card, inputs, model["threads"])
    contestants = {"edgebuild": Contestant(run=bundle.run, outputs=bundle.outputs)}
    absent = {}
    for name, facts in model["contestants"].items():
        if name not in RUNTIMES:
            continue
        try:
            contestants[name] = RUNTIMES[name](facts["path"], inputs, model["threads"])
        except Exception as error:  # whatever another runtime says of a model that it refuses
            absent[name] = " ".join(str(error).split()) or type(error).__name__
    interleave(contestants, int(model["seconds"] * 1e9))
    return {
        "name": model["name"],
        "absent": absent,
        "samples_ns": {name: each.samples_ns for name, each in contestants.items()},
        "walls_ns": {name: each.walls_ns for name, each in contestants.items()},
        "difference": {
            name: difference(bundle.outputs(), each.outputs())
            for name, each in contestants.items()
            if name != "edgebuild"
        },
        "layers_ns": layers(ours["profile"], card, inputs, model["threads"]),
    }


def layers(
    library: str, card: Mapping[str, Any], inputs: Sequence[Array], threads: int
) -> list[list[float]]:
    """Nanoseconds of each operator, one row per round, from the profiling build.

    Rounds in which the system ran something else are measured again, as far as time allows.
    """
    bundle = Bundle(library, card, inputs, threads)
    repetitions = max(1, PROFILE_NS // max(1, bundle.run(1).own_ns))
    rounds: list[tuple[float, list[float]]] = []
    for number in range(4 * PROFILE_ROUNDS):
        spent, each = bundle.profile(repetitions, len(card["operators"]))
        rounds.append((spent.wall_ns / max(1, spent.own_ns), each))
        quiet = sum(stolen < QUIET for stolen, _ in rounds)
        if number + 1 >= PROFILE_ROUNDS and quiet >= PROFILE_ROUNDS:
            break
    rounds.sort(key=lambda one: one[0])
    return [each for _, each in rounds[:PROFILE_ROUNDS]]


def main() -> int:
    """Answer the job on standard input."""
    job = json.load(sys.stdin)
    if job["threads"] == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    json.dump(measure(job), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

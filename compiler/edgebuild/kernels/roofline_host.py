# SPDX-License-Identifier: Apache-2.0
"""The limits of the machine at hand, measured (runtime/native/bench/peaks.c)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebuild.errors.kernels import PEAKS_FAILED
from edgebuild.host import compiler, paths, process
from edgebuild.kernels import cputarget
from edgebuild.model.profile import Cpu
from edgebuild.planning.roofline import Machine

SOURCE = Path("runtime/native/bench/peaks.c")
#: What else a machine does may last as long as a measurement of one second.
RUNS = 3


def measure(cpu: Cpu, work: Path) -> Machine:
    """Measure one core of this machine, with the instructions that ``cpu`` names.

    Takes a few seconds. Raises E286 if the program says something else than expected.
    """
    program, compiled = work / "peaks", work / "peaks.o"
    target = cputarget.triple(cpu)
    zig = [*compiler.zig(), "cc", "-target", target.zig, "-fno-sanitize=undefined"]
    source = str(paths.data_dir() / SOURCE)
    flags = ["-O3", f"-mcpu={zig_name(cpu)}", "-ffp-contract=fast", "-c", source]
    process.run([*zig, *flags, "-o", compiled], what="compile the measurement of this machine")
    # Linked for the baseline, whose C library is there already; zig builds one for each CPU.
    baseline = f"-mcpu={target.zig_cpu}"
    process.run(
        [*zig, baseline, "-static", compiled, "-o", program],
        what="link the measurement of this machine",
    )
    return best(
        [parse(process.run([program], what="measure this machine").text, cpu) for _ in range(RUNS)]
    )


def best(seen: Sequence[Machine]) -> Machine:
    """What a machine can do is the most that it was seen to do."""
    return Machine(
        clock_hz=max(each.clock_hz for each in seen),
        lanes=seen[0].lanes,
        macs_per_s={
            dtype: max(each.macs_per_s[dtype] for each in seen) for dtype in seen[0].macs_per_s
        },
        bandwidth=tuple(
            max(rates) for rates in zip(*(each.bandwidth for each in seen), strict=True)
        ),
    )


def zig_name(cpu: Cpu) -> str:
    """What zig's -mcpu calls the processor."""
    return cpu.model.replace("-", "_") + "".join(cpu.features)


def parse(text: str, cpu: Cpu) -> Machine:
    """What the program wrote: lines of a name and a rate. Raises E286."""
    try:
        values = {name: float(rate) for name, rate in (line.split() for line in text.splitlines())}
        reads = [name for name in values if name.startswith("read_")]
        sizes = {float(name.removeprefix("read_")): values[name] for name in reads}
        if not sizes:
            raise KeyError("bandwidth")
        return Machine(
            clock_hz=values["clock_hz"],
            lanes=max(1, cpu.vector_bits // 32),
            macs_per_s={"float32": values["macs_f32"], "int8": values["macs_int8"]},
            bandwidth=tuple(sorted(sizes.items())),
        )
    except (KeyError, ValueError) as error:
        raise PEAKS_FAILED(f"the measurement of this machine wrote no {error}") from error

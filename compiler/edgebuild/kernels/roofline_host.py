# SPDX-License-Identifier: Apache-2.0
"""The limits of the machine at hand, measured (runtime/native/bench/peaks.c)."""

from __future__ import annotations

from pathlib import Path

from edgebuild.errors.kernels import PEAKS_FAILED
from edgebuild.host import compiler, paths, process
from edgebuild.kernels import cputarget
from edgebuild.model.profile import Cpu
from edgebuild.planning.roofline import Machine

SOURCE = Path("runtime/native/bench/peaks.c")


def measure(cpu: Cpu, work: Path) -> Machine:
    """Measure one core of this machine, with the instructions that ``cpu`` names.

    Takes about a second. Raises E286 if the program says something else than expected.
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
    return parse(process.run([program], what="measure this machine").text, cpu)


def zig_name(cpu: Cpu) -> str:
    """What zig's -mcpu calls the processor."""
    return cpu.model.replace("-", "_") + "".join(cpu.features)


def parse(text: str, cpu: Cpu) -> Machine:
    """What the program wrote: lines of a name and a rate. Raises E286."""
    try:
        values = {name: float(rate) for name, rate in (line.split() for line in text.splitlines())}
        return Machine(
            clock_hz=values["clock_hz"],
            lanes=max(1, cpu.vector_bits // 32),
            macs_per_s={"float32": values["macs_f32"], "int8": values["macs_int8"]},
            bandwidth=_falling(
                sorted(
                    (float(name.removeprefix("read_")), rate)
                    for name, rate in values.items()
                    if name.startswith("read_")
                )
            ),
        )
    except (KeyError, ValueError, IndexError) as error:
        raise PEAKS_FAILED(f"the measurement of this machine wrote no {error}") from error


def _falling(rates: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """A larger working set is never faster: where it measured so, the smaller was disturbed."""
    best = rates[-1][1]
    result = []
    for size, rate in reversed(rates):
        best = max(best, rate)
        result.append((size, best))
    return tuple(reversed(result))

# SPDX-License-Identifier: Apache-2.0
"""Run compiled specs on another processor: one static program under QEMU's user emulator.

The program holds no data. It reads each buffer's contents, calls the kernels' functions and
writes the outputs, all through three system calls.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgebuild.kernels import checkprogram, cputarget, disassembly, specs, tir
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h

_START = checkprogram._STATIC.split("static int differ", maxsplit=1)[0]
_MOVE = checkprogram._STATIC.split("static int get", maxsplit=1)[1]
_MOVE = "static int get" + _MOVE.split("/* Point at copy", maxsplit=1)[0]


def check(
    folder: Path, many: Sequence[specs.Spec], target: Cpu, emulator: Sequence[str], *,
    tolerance: float = 1e-5,
) -> None:  # fmt: skip
    """Compile for ``target``, look at every instruction, run, and compare with the reference."""
    kernels = [tir.kernel(s, target, f"k{i}") for i, s in enumerate(many)]
    folder.mkdir(parents=True, exist_ok=True)
    functions = [p.func for k in kernels for p in k.phases]
    (folder / "k.o").write_bytes(tir.compile(functions, target))
    disassembly.check(folder / "k.o", target)
    given = [h.random_arguments(s, n) for n, s in enumerate(many)]
    calls, data = [], b""
    for spec, kernel, arguments in zip(many, kernels, given, strict=True):
        code, blob = _call(spec, kernel, arguments)
        calls.append(code)
        data += blob
    found = _run(folder, target, kernels, calls, data, emulator)
    for spec, arguments in zip(many, given, strict=True):
        last = spec.arguments()[-1]
        dtype = np.dtype(last.dtype)
        size = int(np.prod(last.shape, dtype=np.int64)) * dtype.itemsize
        got = np.frombuffer(found[:size], dtype).reshape(last.shape)
        found = found[size:]
        h.compare(spec, got, arguments, tolerance)
    assert not found


def _call(spec: specs.Spec, kernel: tir.Kernel, arguments: Sequence[h.Array]) -> tuple[str, bytes]:
    """C that reads the buffers in order, runs the phases and writes the output; what it reads."""
    lines, pointers, data, constants = list[str](), list[str](), b"", list[h.Array]()
    for argument, value in zip(spec.arguments(), arguments, strict=False):
        if argument.role == "constant":
            constants.append(value)
        else:
            pointers.append(f"b[{len(pointers)}]")
            lines.append(f"{pointers[-1]} = next({value.nbytes}, 1);")
            data += value.tobytes()
    packed = kernel.pack(constants)
    last = spec.arguments()[-1]
    size = int(np.prod(last.shape, dtype=np.int64)) * np.dtype(last.dtype).itemsize
    for length, read in ((len(packed), 1), (size, 0), (kernel.scratch_bytes, 0)):
        pointers.append(f"b[{len(pointers)}]")
        lines.append(f"{pointers[-1]} = next({length}, {read});")
    for phase in kernel.phases:
        lines.append(f"{phase.symbol}({', '.join(pointers)}, 0, {phase.tasks});")
    lines.append(f"put({pointers[-2]}, {size});")
    return "{ used = 0; " + "\n".join(lines) + " }\n", data + packed


def _run(
    folder: Path, target: Cpu, kernels: Sequence[tir.Kernel], calls: Sequence[str], data: bytes,
    emulator: Sequence[str],
) -> bytes:  # fmt: skip
    symbols = "\n".join(f"void {p.symbol}();" for k in kernels for p in k.phases)
    (folder / "main.c").write_text(f"""\
#include <stddef.h>
#include <stdint.h>
{_START}
{_MOVE}
{symbols}
static _Alignas(64) byte memory[1 << 26];
static size_t used;
static void *next(size_t size, int read) {{
  byte *at = memory + used;
  used += (size + 127) / 64 * 64;
  for (size_t i = 0; i < size; i++) at[i] = 0xa5;
  if (read && size && !get(at, size)) call3(EXIT, 1, 0, 0);
  return at;
}}
__attribute__((used)) void begin(void) {{
  byte *b[16];
{"".join(calls)}
  for (;;) call3(EXIT, 0, 0, 0);
}}
""")
    triple, zig = cputarget.triple(target), [sys.executable, "-m", "ziglang"]
    flags = ["-O1", "-ffreestanding", "-fno-builtin", "-fno-sanitize=undefined", "-std=gnu11",
             "-fno-stack-protector", "-Wno-deprecated-non-prototype"]  # fmt: skip
    subprocess.run([*zig, "cc", "-target", triple.zig, f"-mcpu={triple.zig_cpu}", *flags, "-c",
                    "main.c", "-o", "main.o"], cwd=folder, check=True)  # fmt: skip
    subprocess.run([*zig, triple.linker, "-static", "--gc-sections", "main.o", "k.o", "-o",
                    "main"], cwd=folder, check=True)  # fmt: skip
    done = subprocess.run([*emulator, str(folder / "main")], input=data, capture_output=True,
                          check=False, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout

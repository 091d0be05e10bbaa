# SPDX-License-Identifier: Apache-2.0
"""Kernels with AddressSanitizer, and checks for what LLVM leaves undefined in arithmetic.

A sanitizer is a pass over LLVM's intermediate form, and that is what TVM's code generator can
write down: so the kernels themselves are instrumented, by the clang that zig brings, and linked
with gcc's AddressSanitizer.
"""

from __future__ import annotations

import functools
import itertools
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tvm

from edgebuild.host import compiler, process
from edgebuild.kernels import specs, tir
from edgebuild.kernels.tir import isa
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h

SOURCE = Path(__file__).parents[1] / "native" / "kernel_check.c"
# as wide as an overrun of several vectors; what a program leaves behind at its end is no matter
OPTIONS = {"ASAN_OPTIONS": "redzone=512:detect_leaks=0"}


@functools.cache
def missing() -> str:
    """Why kernels cannot be sanitised here; nothing if they can."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return "there is no gcc"
    command = [gcc, "-fsanitize=address", "-x", "c", "-", "-o", "/dev/null"]
    program = b"void __asan_version_mismatch_check_v8(void);" \
              b"int main(void) { __asan_version_mismatch_check_v8(); return 0; }"  # fmt: skip
    tried = subprocess.run(command, input=program, check=False, capture_output=True)
    return "" if tried.returncode == 0 else "gcc has no AddressSanitizer of version 8"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A kernel and what to run it with: inputs and constants in the order of its arguments.

    ``over`` and ``free_bytes`` as ``tir.kernel`` has them.
    """

    spec: specs.Spec
    arguments: Sequence[h.Array]
    over: str | None = None
    free_bytes: int = tir.UNBOUNDED


def run(folder: Path, jobs: Sequence[Job], target: Cpu, *, pieces: int = 2) -> list[h.Array]:
    """Run each kernel once, its phases in ``pieces`` calls each; its outputs.

    Raises AssertionError with what the sanitizer said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kernels = [
        tir.kernel(job.spec, target, f"k{number}", over=job.over, free_bytes=job.free_bytes)
        for number, job in enumerate(jobs)
    ]
    blobs = [_blobs(job, kernel) for job, kernel in zip(jobs, kernels, strict=True)]
    table = _table(jobs, kernels, [[len(blob) for blob in each] for each in blobs], pieces)
    (folder / "kernels.inc").write_text(table)
    functions = [phase.func for kernel in kernels for phase in kernel.phases]
    told = subprocess.run(
        [_program(folder, functions, target)], input=b"".join(itertools.chain(*blobs)),
        env=OPTIONS, capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    if told.returncode:
        raise AssertionError(told.stderr.decode(errors="replace")[:3000])
    return list(_outputs(jobs, told.stdout))


def _program(folder: Path, functions: Sequence[Any], target: Cpu) -> Path:
    (folder / "kernels.ll").write_text(instrumented(unoptimised(functions, target)))
    # calls in place of checks written out: half of the time to compile
    flags = ["-fsanitize=address", "-mllvm", "-asan-instrumentation-with-call-threshold=0", "-O1"]
    files = ["-c", folder / "kernels.ll", "-o", folder / "kernels.o"]
    process.run([*compiler.zig(), "cc", *flags, *files], what="instrument the kernels")
    command = ["gcc", "-g", "-fsanitize=address,undefined", f"-I{folder}", SOURCE]
    files = [folder / "kernels.o", "-o", folder / "check"]
    process.run([*command, *files], what="link the check of kernels")
    return folder / "check"


def _blobs(job: Job, kernel: tir.Kernel) -> list[bytes]:
    """The inputs' bytes, then the packed constants'."""
    roles = [argument.role for argument in job.spec.arguments()]
    pairs = list(zip(roles, job.arguments, strict=False))
    inputs = [value.tobytes() for role, value in pairs if role == "input"]
    return [*inputs, kernel.pack([value for role, value in pairs if role == "constant"])]


def _output_bytes(spec: specs.Spec) -> int:
    last = spec.arguments()[-1]
    return prod(last.shape) * np.dtype(last.dtype).itemsize


def _outputs(jobs: Sequence[Job], data: bytes) -> Iterator[h.Array]:
    at = 0
    for job in jobs:
        last, size = job.spec.arguments()[-1], _output_bytes(job.spec)
        yield np.frombuffer(data[at : at + size], last.dtype).reshape(last.shape)
        at += size
    assert at == len(data)


def _table(
    jobs: Sequence[Job], kernels: Sequence[tir.Kernel], read: Sequence[list[int]], pieces: int
) -> str:
    """kernels.inc."""
    lines, rows = [], []
    for number, (job, kernel) in enumerate(zip(jobs, kernels, strict=True)):
        sizes = [*read[number], _output_bytes(job.spec), kernel.scratch_bytes]
        inputs = [a.name for a in job.spec.arguments() if a.role == "input"]
        over = inputs.index(job.over) if job.over else -1
        lines += [_caller(phase.symbol, len(sizes)) for phase in kernel.phases]
        calls = ", ".join(f"call_{phase.symbol}" for phase in kernel.phases)
        tasks = ", ".join(str(phase.tasks) for phase in kernel.phases)
        rows.append(
            f'  {{"kernel {number}, {job.spec.kind}", {len(sizes)}, {over}, {pieces}, '
            f"{{{', '.join(map(str, sizes))}}}, {{{calls}}}, {{{tasks}}}}},"
        )
    table = "static const struct kernel kernels[] = {"
    return "\n".join([*lines, table, *rows, "};", f"enum {{ KERNELS = {len(rows)} }};", ""])


def _caller(symbol: str, pointers: int) -> str:
    types = ", ".join(["void *"] * pointers)
    handed = ", ".join(f"p[{i}]" for i in range(pointers))
    return (
        f"void {symbol}({types}, int32_t, int32_t);\n"
        f"static void call_{symbol}(void **p, int32_t b, int32_t e) {{\n"
        f"  {symbol}({handed}, b, e);\n}}"
    )


def unoptimised(functions: Sequence[Any], target: Cpu) -> str:
    """LLVM's form of the functions, with everything still said that optimising relies on."""
    described = {**isa.target(target).export(), "opt-level": 0}
    named = {str(function.attrs["global_symbol"]): function for function in functions}
    build = tvm.get_global_func("target.build.llvm")
    module = build(tvm.IRModule(named), tvm.target.Target(described))
    return str(module.inspect_source("ll"))


def instrumented(text: str) -> str:
    """``text`` with functions marked for AddressSanitizer, and with arithmetic that is checked."""
    text = re.sub(r"^(define .*\)[^#\n]*)(#\d+)", r"\1sanitize_address \2", text, flags=re.M)
    checks = Checks()
    body = "\n".join(checks.line(line) for line in text.splitlines())
    return "\n".join([body, *sorted(checks.declared), _REPORT])


_REPORT = """
declare void @edge_undefined(ptr)
define internal void @edge_check(i1 %bad, ptr %what) alwaysinline {
  br i1 %bad, label %no, label %yes
no:
  call void @edge_undefined(ptr %what)
  br label %yes
yes:
  ret void
}
"""
_CHECKED = re.compile(
    r"  (?P<to>%\S+) = (?P<what>add|sub|mul|shl|lshr|ashr|[su]div|[su]rem)"
    r"(?P<flags>(?: nuw| nsw| exact)*) (?P<type><\d+ x i\d+>|i\d+) (?P<rest>.*?)(?:, !.*)?"
)
_CONVERTED = re.compile(
    r"  (?P<to>%\S+) = fptosi (?P<from><\d+ x \w+>|\w+) (?P<value>.*)"
    r" to (?P<type><\d+ x i\d+>|i\d+)(?:, !.*)?"
)
_SIGNED = {"add": "sadd", "sub": "ssub", "mul": "smul"}


class Checks:
    """Writes, before an instruction, whether its result is defined."""

    def __init__(self) -> None:
        self.declared: set[str] = set()
        self._count = 0

    def line(self, text: str) -> str:
        if found := _CHECKED.fullmatch(text):
            left, right = operands(found["rest"])
            if found["what"] in _SIGNED and "nsw" in found["flags"]:
                return self._overflow(text, found, left, right)
            known = right.lstrip("-").isdigit() and int(right) > 0
            if found["what"] in ("shl", "lshr", "ashr") and not known:
                return self._shift(text, found["type"], right)
            if found["what"] in ("sdiv", "udiv", "srem", "urem") and not known:
                return self._division(text, found["type"], right)
        elif found := _CONVERTED.fullmatch(text):
            return self._conversion(text, found)
        return text

    def _name(self) -> str:
        self._count += 1
        return f"%edge.check.{self._count}"

    def _overflow(self, text: str, found: re.Match[str], left: str, right: str) -> str:
        kind, both, bad = found["type"], self._name(), self._name()
        intrinsic = f"@llvm.{_SIGNED[found['what']]}.with.overflow.{mangled(kind)}"
        pair = f"{{ {kind}, {truths(kind)} }}"
        self.declared.add(f"declare {pair} {intrinsic}({kind}, {kind})")
        lines = [
            f"  {both} = call {pair} {intrinsic}({kind} {left}, {kind} {right})",
            f"  {bad} = extractvalue {pair} {both}, 1",
        ]
        return self._checked(lines, bad, truths(kind), text)

    def _shift(self, text: str, kind: str, by: str) -> str:
        bad = self._name()
        lines = [f"  {bad} = icmp uge {kind} {by}, {every(kind, bits_of(kind))}"]
        return self._checked(lines, bad, truths(kind), text)

    def _division(self, text: str, kind: str, by: str) -> str:
        bad = self._name()
        lines = [f"  {bad} = icmp eq {kind} {by}, {every(kind, 0)}"]
        return self._checked(lines, bad, truths(kind), text)

    def _conversion(self, text: str, found: re.Match[str]) -> str:
        """Beyond the integer's range, or no number: what ends within a unit is rounded down."""
        kind, limit = found["from"], 2.0 ** (bits_of(found["type"]) - 1)
        low, high, bad = self._name(), self._name(), self._name()
        lines = [
            f"  {low} = fcmp ult {kind} {found['value']}, {every(kind, -limit)}",
            f"  {high} = fcmp uge {kind} {found['value']}, {every(kind, limit)}",
            f"  {bad} = or {truths(kind)} {low}, {high}",
        ]
        return self._checked(lines, bad, truths(kind), text)

    def _checked(self, lines: list[str], bad: str, kind: str, text: str) -> str:
        one = bad
        if kind != "i1":
            one, intrinsic = self._name(), f"@llvm.vector.reduce.or.{mangled(kind)}"
            self.declared.add(f"declare i1 {intrinsic}({kind})")
            lines.append(f"  {one} = call i1 {intrinsic}({kind} {bad})")
        told = self._name().replace("%", "@")
        said = re.sub(r'[^ -~]|["\\]', "?", text.strip())
        self.declared.add(f'{told} = private constant [{len(said) + 1} x i8] c"{said}\\00"')
        return "\n".join([*lines, f"  call void @edge_check(i1 {one}, ptr {told})", text])


def operands(text: str) -> tuple[str, str]:
    """Two operands, of which each may be a list."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "(<{[") - (character in ")>}]")
        if character == "," and depth == 0:
            return text[:at], text[at + 2 :]
    raise ValueError(text)


def lanes_of(kind: str) -> int:
    """Of an LLVM type; 0 for a scalar."""
    return int(kind[1:].split(" x ", maxsplit=1)[0]) if kind.startswith("<") else 0


def element_of(kind: str) -> str:
    return kind.strip("<>").split(" x ")[-1]


def bits_of(kind: str) -> int:
    return int(element_of(kind)[1:])


def truths(kind: str) -> str:
    """The type of as many bits."""
    return f"<{lanes_of(kind)} x i1>" if lanes_of(kind) else "i1"


def mangled(kind: str) -> str:
    """As the name of an intrinsic ends."""
    return f"v{lanes_of(kind)}{element_of(kind)}" if lanes_of(kind) else kind


def every(kind: str, value: float) -> str:
    """A number in each lane; floats as the bits of a double, which is always exact."""
    text = f"0x{struct.pack('>d', value).hex()}" if isinstance(value, float) else str(value)
    return f"splat ({element_of(kind)} {text})" if lanes_of(kind) else text

# SPDX-License-Identifier: Apache-2.0
"""Instructions of unscheduled TVM on the bare RISC-V machine, beside those of our kernels.

    python benchmarks/unscheduled.py MODEL…

TVM's own importer and its "zero" pipeline: no schedule, loops one after the other, memory planned
statically. What its virtual machine would call in turn is called from C here, so that nothing but
the kernels is counted. 8-bit models are imported as float operators between quantisations: that is
what TVM's importer makes of them, and not exact.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import counts
from edgebuild.host import compiler, process
from edgebuild.kernels import bench_count, naming
from edgebuild.kernels.tvm_oracle import imported

CORE = "rv64gc"

# What TVM's compiled functions want from outside, and the driver's shape.
_HEAD = r"""
#include <stddef.h>
#include <stdint.h>
typedef struct { int32_t type, small; union { int64_t integer; void *pointer; } value; } Any;
typedef struct { int32_t code, id; } Device;
typedef struct { uint8_t code, bits; uint16_t lanes; } Type;
typedef struct {
  void *data; Device device; int32_t rank; Type type; int64_t *shape, *strides; uint64_t offset;
} Tensor;
static uint8_t workspace[WORKSPACE] __attribute__((aligned(64)));
static size_t used;
static void *allocate(int code, int id, uint64_t bytes, int type, int bits) {
  void *found = workspace + used;
  (void)code, (void)id, (void)type, (void)bits;
  used += (bytes + 63) / 64 * 64;
  return used <= sizeof workspace ? found : NULL;
}
static int release(int code, int id, void *pointer) {
  (void)code, (void)id;
  used = (size_t)((uint8_t *)pointer - workspace);
  return 0;
}
void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;
void TVMFFIErrorSetRaisedFromCStrParts(const char *a, const char **b, int32_t c);
void TVMFFIErrorSetRaisedFromCStrParts(const char *a, const char **b, int32_t c) {
  (void)a, (void)b, (void)c;
}
/* The C library's own lies where this machine's code does not reach. exp(r) of a small r by its
 * series, then powers of two: good to 1e-6. */
float expf(float x);
float expf(float x) {
  union { int32_t bits; float number; } power;
  int32_t n = (int32_t)(x * 1.44269504f + (x < 0 ? -0.5f : 0.5f));
  float r = x - (float)n * 0.69314718f, sum = 1;
  for (int i = 7; i > 0; i--) sum = 1 + sum * r / (float)i;
  power.bits = (n < -126 ? 0 : n + 127) << 23;
  return sum * power.number;
}
static int call(int (*kernel)(void *, Any *, int32_t, Any *), Tensor **tensors, int count) {
  Any arguments[16], result = {0};
  for (int i = 0; i < count; i++) arguments[i] = (Any){7, 0, {.pointer = tensors[i]}};
  return kernel(NULL, arguments, count, &result);
}
"""


@dataclass(kw_only=True)
class Driver:
    """Writes the C that calls TVM's functions in order; values are C names of tensors."""

    values: dict[Any, str] = field(default_factory=dict)
    declarations: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    kernels: set[str] = field(default_factory=set)
    constants: bytearray = field(default_factory=bytearray)

    def tensor(self, shape: tuple[int, ...], dtype: str, place: str) -> str:
        """A tensor's description; ``place``: its address, NULL for one that the caller gives."""
        name = f"t{len(self.declarations)}"
        kind = np.dtype(dtype)
        code = {"i": 0, "u": 1, "f": 2, "b": 6}[kind.kind]
        sizes = ", ".join(map(str, shape)) or "1"
        self.declarations.append(
            f"static int64_t s{name}[] = {{{sizes}}};\n"
            f"static Tensor {name} = {{(void *)({place}), {{1, 0}}, {len(shape)}, "
            f"{{{code}, {8 * kind.itemsize}, 1}}, s{name}, NULL, 0}};"
        )
        return name

    def constant(self, data: Any) -> str:
        self.constants += bytes(-len(self.constants) % 64)
        place = f"constants + {len(self.constants)}"
        self.constants += data.tobytes()
        return self.tensor(data.shape, str(data.dtype), place)

    def value(self, argument: Any) -> str:
        """The C name of what a call reads or writes."""
        from tvm.ir import Var

        if isinstance(argument, Var):
            return self.values[argument]
        return self.constant(argument.value.numpy())

    def bind(self, variable: Any, value: Any) -> None:
        """One binding of the main function."""
        import tvm

        if not isinstance(value, tvm.ir.Call):
            self.values[variable] = self.value(value)
        elif isinstance(value.op, tvm.ir.GlobalVar):
            kernel = value.op.name_hint
            names = ", ".join(f"&{self.value(each)}" for each in value.args)
            self.kernels.add(kernel)
            self.calls.append(
                f"  if (call(__tvm_ffi_{kernel}, (Tensor *[]){{{names}}}, {len(value.args)})) "
                "return -9;"
            )
        elif value.op.name == "relax.memory.alloc_storage":
            name = f"storage{len(self.declarations)}"
            size = int(value.args[0].values[0])
            self.declarations.append(f"static _Alignas(64) uint8_t {name}[{size}];")
            self.values[variable] = name
        elif value.op.name in ("relax.memory.alloc_tensor", "relax.builtin.alloc_tensor"):
            shape, dtype = shape_of(variable)
            if value.op.name == "relax.memory.alloc_tensor":
                place = f"{self.values[value.args[0]]} + {int(value.args[1].value)}"
            else:
                place = "NULL"
            self.values[variable] = self.tensor(shape, dtype, place)
        else:
            raise ValueError(f"TVM calls {value.op.name}, which has no C form here")


def shape_of(variable: Any) -> tuple[tuple[int, ...], str]:
    """Shape and element type of a relax variable."""
    return tuple(int(n) for n in variable.ty.shape.values), str(variable.ty.dtype)


def lowered(model: Path) -> Any:
    """TVM's module after its own passes: one main function, and kernels without a schedule."""
    from tvm import relax
    from tvm.ir.transform import Sequential

    passes = relax.transform
    steps = [
        passes.DecomposeOpsForInference(), passes.LegalizeOps(), passes.FoldConstant(),
        passes.AnnotateTIROpPattern(), passes.FuseOps(), passes.FuseTIR(),
        passes.ToNonDataflow(), passes.RemovePurityChecking(), passes.CallTIRRewrite(),
        passes.StaticPlanBlockMemory(),
    ]  # fmt: skip
    return Sequential(steps)(imported(model))


def compiled(module: Any, kernels: set[str], target: Path) -> None:
    """The kernels' object file."""
    import tvm
    from tvm import tirx

    functions = {
        variable.name_hint: function.with_attr("global_symbol", variable.name_hint)
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc) and variable.name_hint in kernels
    }
    description = {
        "kind": "llvm", "mtriple": "riscv64-unknown-linux-musl", "mcpu": "generic-rv64",
        "mattr": list(counts.RV), "mabi": "lp64d",
    }  # fmt: skip
    built = tvm.compile(tvm.IRModule(functions), target=tvm.target.Target(description))
    built.mod.write_to_file(str(target), "o")


def source(driver: Driver, name: str, inputs: list[str], outputs: list[str]) -> str:
    """The driver's C."""
    return "\n".join([
        "#define WORKSPACE (16 << 20)", _HEAD,
        "extern const uint8_t constants[];",
        *(f"int __tvm_ffi_{kernel}(void *, Any *, int32_t, Any *);"
          for kernel in sorted(driver.kernels)),
        *driver.declarations,
        f"int32_t edge_{name}_run(const void *const *in, void *const *out, void *arena);",
        f"int32_t edge_{name}_run(const void *const *in, void *const *out, void *arena) {{",
        "  (void)arena;",
        *(f"  {each}.data = (void *)in[{i}];" for i, each in enumerate(inputs)),
        *(f"  {each}.data = out[{i}];" for i, each in enumerate(outputs)),
        *driver.calls,
        "  return 0;", "}", "",
    ])  # fmt: skip


def build(model: Path, work: Path) -> dict[str, Any]:
    """Write the bundle that ``bench_count`` links; its card's sizes."""
    name, module, driver = naming.identifier(model), lowered(model), Driver()
    main = module["main"]
    inputs = [driver.tensor(*shape_of(each), "NULL") for each in main.params]
    driver.values.update(zip(main.params, inputs, strict=True))
    for block in main.body.blocks:
        for binding in block.bindings:
            driver.bind(binding.var, binding.value)
    result = main.body.body
    outputs = [driver.value(each) for each in getattr(result, "fields", [result])]
    described = [
        [(shape_of(each)) for each in group]
        for group in (main.params, getattr(result, "fields", [result]))
    ]
    (work / "driver.c").write_text(source(driver, name, inputs, outputs))
    (work / "constants").write_bytes(bytes(driver.constants) or b"\0")
    (work / "data.s").write_text(
        '.section .rodata\n.balign 64\n.globl constants\nconstants: .incbin "constants"\n'
    )
    compiled(module, driver.kernels, work / "kernels.o")
    flags = ("-target", "riscv64-linux-musl", "-O2", "-mcmodel=medany")
    for part in ("driver.c", "data.s"):
        process.run([*compiler.zig(), "cc", *flags, "-c", part, "-o", f"{part[:-2]}.o"],
                    what=f"compile {part}", cwd=work)  # fmt: skip
    process.run([*compiler.zig(), "ld.lld", "-r", "driver.o", "data.o", "kernels.o", "-o",
                 f"{name}.o"], what="join the objects", cwd=work)  # fmt: skip
    rows = [
        [{"bytes": int(np.prod(shape)) * np.dtype(dtype).itemsize, "dtype": dtype}
         for shape, dtype in group]
        for group in described
    ]  # fmt: skip
    return {"name": name, "inputs": rows[0], "outputs": rows[1], "arena_bytes": 64}


def main() -> int:
    """Print one line for each model: unscheduled, ours, how many times fewer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    core = counts.CORES[CORE]
    emulator = counts.emulator(core)
    for model in parser.parse_args().models:
        with tempfile.TemporaryDirectory() as folder:
            card = build(model, Path(folder))
            program = bench_count.link(card["name"], Path(folder), card, core.cpu().arch)
            theirs = bench_count.execute(program, core.cpu().arch, emulator, core.qemu).total
            (row,) = counts.measure(CORE, [model], Path(folder))
        ours = row["instructions"]
        print(f"{model.stem:28} {theirs:>14,} {ours:>12,} {theirs / ours:6.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The generated C: kernels in order over the planned arena, and the header for its callers.

No allocation, no global state, no library but mem*: re-entrant with one arena per caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgebuild.kernels.calls import Call, Lowered, Value
from edgebuild.kernels.emission import CallCode
from edgebuild.kernels.planner import MemoryPlan, staged
from edgebuild.model.graph import DTYPES
from edgebuild.model.profile import Cpu

ERRORS = {
    "EDGE_ERROR_NULL": (-1, "a buffer is NULL"),
    "EDGE_ERROR_ARENA_ALIGNMENT": (-2, "the arena is not aligned to 64 bytes"),
    "EDGE_ERROR_ARENA_SIZE": (-3, "the arena is too small"),
}
#: Only of kernels that take the length of a vector for granted.
LENGTH_ERROR = {
    "EDGE_ERROR_VECTOR_LENGTH": (-4, "the processor's vectors have not the length of the kernels'"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All that the generated C is made from."""

    name: str
    lowered: Lowered
    codes: tuple[CallCode, ...]
    plan: MemoryPlan
    pool_offsets: dict[str, int]  # constants that kernels read as inputs
    cpu: Cpu
    vector_bytes: int = 0  # of SVE's registers, where kernels take it for granted


def header(source: Source) -> str:
    """``<name>.h``: sizes, shapes and quantisation as constants, and the two functions."""
    name, lowered = source.name, source.lowered
    errors = {**ERRORS, **LENGTH_ERROR} if source.vector_bytes else ERRORS
    guard = f"EDGE_{name.upper()}_H"
    lines = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        f"/* Model {name}: generated, do not edit. */",
        f"#ifndef {guard}", f"#define {guard}",
        "#include <stddef.h>", "#include <stdint.h>",
        "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
        f"#define {_macro(name, 'ARENA_BYTES')} {source.plan.arena_bytes}",
        *_describe(name, "INPUT", [lowered.values[n] for n in lowered.graph.inputs], lowered),
        *_describe(name, "OUTPUT", [lowered.values[n] for n in lowered.graph.outputs], lowered),
        "", "/* What a run may return beside 0. */",
        *(f"#define {key} ({number}) /* {text} */" for key, (number, text) in errors.items()),
        "", "/* Bytes of working memory for one run; align it to 64. */",
        f"size_t edge_{name}_arena_bytes(void);",
        "/* Run the model. Buffers hold the bytes given above and may not overlap. */",
        f"int32_t edge_{name}_run(const void *const *inputs, void *const *outputs, void *arena);",
        "/* The same, with the arena's size checked before anything is written. */",
        f"int32_t edge_{name}_run_in(const void *const *inputs, void *const *outputs, void *arena,",
        "                     size_t arena_bytes);",
        "/* The model card, JSON. */",
        f"extern const char edge_{name}_card[];", f"extern const size_t edge_{name}_card_bytes;",
        "", "#ifdef __cplusplus", "}", "#endif", "#endif", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _macro(name: str, rest: str) -> str:
    return f"EDGE_{name.upper()}_{rest}"


def _describe(name: str, role: str, values: Sequence[Value], lowered: Lowered) -> list[str]:
    lines = ["", f"#define {_macro(name, f'{role}S')} {len(values)}"]
    for number, value in enumerate(values):
        prefix = _macro(name, f"{role}_{number}")
        shape = ", ".join(str(n) for n in value.shape) or "1"
        lines += [
            f"#define {prefix}_NAME {_c_string(value.name)}",
            f"#define {prefix}_TYPE {_c_type(value.dtype)}",
            f"#define {prefix}_RANK {len(value.shape)}",
            f"#define {prefix}_SHAPE {{{shape}}}",
            f"#define {prefix}_BYTES {value.size_bytes}",
        ]
        quantisation = lowered.graph.tensors[value.name].quantisation
        if quantisation is not None and quantisation.axis is None:
            lines += [
                f"#define {prefix}_SCALE {float(quantisation.scale[0]).hex()}f",
                f"#define {prefix}_ZERO_POINT ({quantisation.zero_point[0]})",
            ]
    return lines


def _c_string(text: str) -> str:
    """A C literal. What is not plain ASCII is octal: C has no escapes for surrogates."""
    shown = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{"".join(shown)}"'


def _c_type(dtype: str) -> str:
    return {"float32": "float", "bool": "uint8_t", "float64": "double"}.get(dtype, f"{dtype}_t")


_PROLOGUE = """/* SPDX-License-Identifier: Apache-2.0 */
/* Generated: kernels in order over a planned arena. */
#include <stddef.h>
#include <stdint.h>
#ifdef EDGE_PROFILE
void edge_profile_mark(int32_t operator_number);
#define EDGE_PROFILE_MARK(i) edge_profile_mark(i)
#else
#define EDGE_PROFILE_MARK(i) ((void)0)
#endif
"""

# cntb x0, by its number: the driver is compiled for the architecture's baseline
_LENGTH = """
static uint64_t vector_bytes(void) {
  uint64_t bytes;
  __asm__(".inst 0x0420e3e0\\n\\tmov %0, x0" : "=r"(bytes) : : "x0");
  return bytes;
}
"""

_PARALLEL = """
__attribute__((weak)) void edge_parallel(void (*function)(void *, int32_t, int32_t), void *context,
                                         int32_t count, int32_t grain, int32_t more);
static void in_parallel(void (*function)(void *, int32_t, int32_t), void **context, int32_t count,
                        int32_t grain, int32_t more) {
  if (edge_parallel)
    edge_parallel(function, context, count, grain, more);
  else
    function(context, 0, count);
}
"""


def driver(source: Source) -> str:
    """``<name>.driver.c``."""
    name = source.name
    parts = [_PROLOGUE, f"extern const uint8_t edge_{name}_constants[];\n"]
    parts[1] = f'__attribute__((visibility("hidden"))) {parts[1]}'
    parts += _declarations(source)
    parts += [_LENGTH] if source.vector_bytes else []
    wrappers = _wrappers(source)
    if wrappers:
        parts.append(_PARALLEL)
        parts += [_wrapper(symbol, count) for symbol, count in wrappers.items()]
    parts += [
        f"\nsize_t edge_{name}_arena_bytes(void) {{ return {source.plan.arena_bytes}; }}\n",
        _run(source),
        _run_in(source),
    ]
    return "".join(parts)


def _pointers(call: Call) -> int:
    return len(call.inputs) + 3


def _declarations(source: Source) -> list[str]:
    known = {
        phase.symbol: _pointers(call)
        for call, code in zip(source.lowered.calls, source.codes, strict=True)
        for phase in code.phases
    }
    return [
        f'__attribute__((visibility("hidden"))) void {symbol}('
        f"{', '.join(['const void *'] * (count - 2))}, void *, void *, int32_t, int32_t);\n"
        for symbol, count in known.items()
    ]


def _wrappers(source: Source) -> dict[str, int]:
    """Pointers of each function that is shared."""
    return {
        phase.symbol: _pointers(call)
        for call, code in zip(source.lowered.calls, source.codes, strict=True)
        for phase in code.phases
        if phase.grain
    }


def _wrapper(symbol: str, count: int) -> str:
    pointers = ", ".join(f"p[{i}]" for i in range(count))
    return (
        f"static void part_{symbol}(void *context, int32_t begin, int32_t end) {{\n"
        f"  void **p = context;\n  {symbol}({pointers}, begin, end);\n}}\n"
    )


def _run(source: Source) -> str:
    lowered, name = source.lowered, source.name
    lines = [
        f"\nint32_t edge_{name}_run(const void *const *inputs, void *const *outputs,"
        " void *arena) {",
        *_checks(source),
        "  uint8_t *const a = arena;",
        "  (void)a;",
        *_enter(source),
        "  EDGE_PROFILE_MARK(-1);",
    ]
    last = _last_shared(source)
    for number, (call, code) in enumerate(zip(lowered.calls, source.codes, strict=True)):
        lines += _call(source, number, call, code, last)
    lines += [*_leave(source), "  return 0;", "}"]
    return "\n".join(lines) + "\n"


def _last_shared(source: Source) -> tuple[int, int]:
    """The call and phase behind which nothing is worth a helper's waiting."""
    shared = [
        (number, index)
        for number, code in enumerate(source.codes)
        for index, phase in enumerate(code.phases)
        if phase.grain
    ]
    return max(shared, default=(-1, -1))


def _checks(source: Source) -> list[str]:
    graph = source.lowered.graph
    pointers = [f"!inputs[{i}]" for i in range(len(graph.inputs))]
    pointers += [f"!outputs[{i}]" for i in range(len(graph.outputs))]
    if source.plan.arena_bytes:
        pointers.append("!arena")
    length = f"  if (vector_bytes() != {source.vector_bytes}) return -4;"
    return [
        f"  if (!inputs || !outputs || {' || '.join(pointers)}) return -1;",
        "  if ((uintptr_t)arena & 63) return -2;",
        *([length] if source.vector_bytes else []),
    ]


def _misaligned(pointer: str, value: Value) -> str:
    return f"((uintptr_t){pointer} & {DTYPES[value.dtype].itemsize - 1})"


def _enter(source: Source) -> list[str]:
    """Locals for the caller's buffers; a misaligned one is replaced by its place in the arena."""
    lowered, offsets = source.lowered, source.plan.offsets
    lines = []
    for number, name in enumerate(lowered.graph.inputs):
        lines.append(f"  const uint8_t *in{number} = inputs[{number}];")
        if staged(lowered, name) and name in offsets:
            value = lowered.values[name]
            lines.append(
                f"  if ({_misaligned(f'in{number}', value)}) in{number} = __builtin_memcpy("
                f"a + {offsets[name]}, in{number}, {value.size_bytes});"
            )
    for number, name in enumerate(lowered.graph.outputs):
        lines.append(f"  uint8_t *out{number} = outputs[{number}];")
        if staged(lowered, name) and name in offsets:
            misaligned = _misaligned(f"out{number}", lowered.values[name])
            lines.append(f"  if ({misaligned}) out{number} = a + {offsets[name]};")
        lines.append(f"  (void)out{number};")
    return lines


def _leave(source: Source) -> list[str]:
    """Outputs that no kernel wrote into the caller's buffer."""
    lowered, lines = source.lowered, []
    for number, name in enumerate(lowered.graph.outputs):
        value = lowered.values[name]
        if not value.size_bytes:
            continue
        origin = _expression(source, name)
        lines.append(
            f"  if (outputs[{number}] != (const void *){origin}) __builtin_memcpy("
            f"outputs[{number}], {origin}, {value.size_bytes});"
        )
    return lines


def _expression(source: Source, name: str) -> str:
    """The C expression for a value's address."""
    lowered = source.lowered
    root = lowered.root(name)
    if root in source.pool_offsets:
        return f"(edge_{source.name}_constants + {source.pool_offsets[root]})"
    if root in lowered.graph.inputs:
        return f"in{lowered.graph.inputs.index(root)}"
    if root in lowered.graph.outputs:
        return f"out{lowered.graph.outputs.index(root)}"
    return f"(a + {source.plan.offsets[root]})"


def _after(expression: str, size: int) -> str:
    """So many bytes further on."""
    return f"({expression} + {size})" if size else expression


def _call(
    source: Source,
    number: int,
    call: Call,
    code: CallCode,
    last: tuple[int, int],
) -> list[str]:
    constants = code.constants_offset
    scratch = source.plan.scratch[number]
    pointers = [
        *(_after(_expression(source, name), code.input_bytes) for name in call.inputs),
        "NULL" if constants < 0 else f"(edge_{source.name}_constants + {constants})",
        _after(_expression(source, call.output), code.output_bytes),
        "NULL" if scratch < 0 else f"(a + {scratch})",
    ]
    lines = [f"  /* {number}: {call.spec.kind} */"]
    for index, phase in enumerate(code.phases):
        if not phase.grain:
            lines.append(f"  {phase.symbol}({', '.join(pointers)}, 0, {phase.tasks});")
            continue
        array = ", ".join(f"(void *){pointer}" for pointer in pointers)
        lines.append(
            f"  in_parallel(part_{phase.symbol}, (void *[]){{{array}}}, {phase.tasks},"
            f" {phase.grain}, {int((number, index) != last)});"
        )
    return [*lines, f"  EDGE_PROFILE_MARK({number});"]


def _run_in(source: Source) -> str:
    name = source.name
    return (
        f"\nint32_t edge_{name}_run_in(const void *const *inputs, void *const *outputs,"
        " void *arena,\n"
        "                     size_t arena_bytes) {\n"
        f"  if (arena_bytes < edge_{name}_arena_bytes()) return -3;\n"
        f"  return edge_{name}_run(inputs, outputs, arena);\n}}\n"
    )

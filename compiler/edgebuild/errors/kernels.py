# SPDX-License-Identifier: Apache-2.0
"""E2xx models, graphs and kernels."""

from __future__ import annotations

from edgebuild.errors.base import code

MODEL_UNREADABLE = code(
    "E201",
    "The model file cannot be read",
    "There is no such file, it is a folder, or it may not be read.",
)
MODEL_FORMAT = code(
    "E202",
    "Not a model format that edgebuild reads",
    "Models are .tflite (TensorFlow Lite flatbuffers) or .onnx (ONNX protocol buffers).",
)
MODEL_MALFORMED = code(
    "E203",
    "The model file contradicts itself",
    "The file is truncated, damaged or forged: an offset leaves the file, a tensor that does not "
    "exist is used, or shapes and sizes do not agree.",
)
MODEL_TOO_LARGE = code(
    "E204",
    "The model is larger than edgebuild accepts",
    "Files, tensors and operator counts are bounded so that a hostile file cannot exhaust memory.",
)
OPERATOR_UNSUPPORTED = code(
    "E205",
    "The model uses an operator that no kernel exists for",
    "The message names the operator and its place in the model.",
)
TYPE_UNSUPPORTED = code(
    "E206",
    "The model uses an element type that no kernel exists for",
    "Kernels compute float32 and int8; indices are int32 or int64.",
)
SHAPE_DYNAMIC = code(
    "E207",
    "A shape is known only when the model runs",
    "The memory plan is made at build time, so every shape but a leading batch has to be fixed.",
)
ONNX_EXTERNAL_DATA = code(
    "E208",
    "The ONNX model keeps its weights in other files",
    "A file of weights is read where it lies beside the model, under a plain name. A build takes "
    "models of one file only: what is signed has to be what is built.",
)
ONNX_OPSET = code(
    "E209",
    "The ONNX opset is too old",
    "Opset 7 and newer are read; earlier ones give operators other meanings.",
)
KERNELS_FAILED = code(
    "E210",
    "The kernel compiler failed",
    "The compiler's child process ended without a result; its last lines are shown.",
)
CHECK_FAILED = code(
    "E211",
    "The compiled model could not be run for its check",
    "The check program did not end with a result, natively or under the emulator.",
)
CPU_UNSUPPORTED = code(
    "E212",
    "Kernels cannot be compiled for this processor",
    "The profile's cpu.arch has no code generator here.",
)
MODEL_NAME = code(
    "E213",
    "The model's name makes no C identifier",
    "Names in the C interface come from the file name: lower-case letters, digits and _.",
)

BENCH_PEER_UNKNOWN = code(
    "E280",
    "unknown peer",
    "--against names a runtime that bench does not know.",
)
BENCH_PEER_MISSING = code(
    "E281",
    "peer not installed",
    "--against names a runtime whose Python package is not installed; peers are optional.",
)
FOREIGN_INSTRUCTION = code(
    "E282",
    "instruction that the CPU lacks",
    "A compiled object holds an instruction beyond the profile's CPU: it would end in SIGILL.",
)
COUNT_FAILED = code(
    "E283",
    "instructions not counted",
    "The emulated program that counts instructions stopped or answered nothing.",
)
NO_COUNTER = code(
    "E284",
    "no instruction counter",
    "bench --target counts instructions on a bare emulated machine; this CPU has none yet.",
)
NOT_AN_OBJECT = code(
    "E285",
    "not an object file",
    "The instruction check was given something else than a 64-bit little-endian ELF file.",
)
PEAKS_FAILED = code(
    "E286",
    "machine not measured",
    "The program that measures this machine's limits answered something else than rates.",
)

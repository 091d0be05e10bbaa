# SPDX-License-Identifier: Apache-2.0
"""Stands in for the executable's built-in module of that name, so that the gateway runs here.

Three models with the signatures of real ones. What they compute is simple enough to foretell:
`echo` gives its input back, `bright` tells by the mean which third of the range a picture is in,
`pair` adds and subtracts two float vectors, `broken` always fails with code -7.
"""

import json
import struct


def _tensor(name, shape, dtype, size, quantisation=None, content="tensor"):
    return {
        "name": name,
        "shape": shape,
        "dtype": dtype,
        "bytes": size,
        "quantisation": quantisation,
        "content": content,
    }


def _card(name, task, inputs, outputs, labels=None):
    return {
        "name": name,
        "digest": "sha256:" + "0" * 64,
        "format": "tflite",
        "task": task,
        "labels": labels,
        "description": "A stand-in called " + name,
        "licence": "Apache-2.0",
        "inputs": inputs,
        "outputs": outputs,
        "arena_bytes": 1024,
        "weights_bytes": 10,
        "code_bytes": 10,
        "macs": 0,
        "parameters": 0,
        "notes": [],
        "cpu": {"arch": "x86_64", "model": "generic", "features": []},
    }


_HALF = {"scale": [0.5], "zero_point": [-1], "axis": None}
_PROBABILITY = {"scale": [0.00390625], "zero_point": [-128], "axis": None}

CARDS = [
    _card(
        "echo",
        "infer",
        [_tensor("input", [1, 640], "int8", 640, _HALF)],
        [_tensor("output", [1, 640], "int8", 640, _HALF)],
    ),
    _card(
        "bright",
        "classify",
        [_tensor("image", [1, 4, 4, 3], "int8", 48, _PROBABILITY, "image")],
        [_tensor("scores", [1, 3], "int8", 3, _PROBABILITY)],
        ["dark", "medium", "light"],
    ),
    _card(
        "pair",
        "infer",
        [_tensor("a", [4], "float32", 16), _tensor("b", [4], "float32", 16)],
        [_tensor("sum", [4], "float32", 16), _tensor("difference", [4], "float32", 16)],
    ),
    _card(
        "broken",
        "infer",
        [_tensor("input", [1], "uint8", 1)],
        [_tensor("output", [1], "uint8", 1)],
    ),
]


def models():
    return [json.dumps(card, sort_keys=True).encode() for card in CARDS]


def run(index, inputs):
    return [_echo, _bright, _pair, _broken][index](inputs)


def _echo(inputs):
    return [inputs[0]]


def _bright(inputs):
    values = struct.unpack("48b", inputs[0])
    mean = sum(values) / 48 + 128
    scores = [-100, -100, -100]
    scores[min(2, int(mean / 85.34))] = 100
    return [struct.pack("3b", *scores)]


def _pair(inputs):
    a = struct.unpack("<4f", inputs[0])
    b = struct.unpack("<4f", inputs[1])
    return [
        struct.pack("<4f", *[x + y for x, y in zip(a, b, strict=True)]),
        struct.pack("<4f", *[x - y for x, y in zip(a, b, strict=True)]),
    ]


def _broken(inputs):
    raise RuntimeError(-7)

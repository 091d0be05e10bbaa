# SPDX-License-Identifier: Apache-2.0
"""From model cards to tools, and from raw outputs to results."""

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.core import arguments, model, results, revisions, setup, tools
from edgegate.core.records import Record
from edgegate.core.tensors import Refused
from tests.tools.fake_kernels import _edge_kernels

jsonschema = pytest.importorskip("jsonschema", reason="comes with the official MCP client")

ECHO, BRIGHT, PAIR, BROKEN = _edge_kernels.CARDS
NEWEST = revisions.ALL[0]


def load(card: dict[str, Any], **overrides: object) -> model.Model:
    return model.load(0, json.dumps(card).encode(), {card["name"]: overrides})


def changed(card: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {**card, **fields}


def output(card: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {**card, "outputs": [{**card["outputs"][0], **fields}]}


def test_a_card_becomes_a_model() -> None:
    found = load(BRIGHT)
    assert (found.tool, found.title) == ("classify_bright", "Classify with bright")
    assert found.labels == ["dark", "medium", "light"]
    assert (found.inputs[0].count, found.inputs[0].scale, found.inputs[0].zero_point) == (
        48,
        0.00390625,
        -128,
    )
    assert json.loads(found.card) == BRIGHT


def test_configuration_goes_over_the_card() -> None:
    found = load(
        BRIGHT, tool="look", title="Look", description="Looks", labels=["a", "b", "c"], top=2,
        licence="MIT", content="tensor", pixel_range="0..1",
    )  # fmt: skip
    assert (found.tool, found.title, found.top, found.licence) == ("look", "Look", 2, "MIT")
    card = json.loads(found.card)
    assert (card["labels"], card["licence"]) == (["a", "b", "c"], "MIT")
    assert card["inputs"][0]["content"] == "tensor"
    assert "image" not in json.dumps(tools.input_schema(found))
    assert load(ECHO, task="classify").tool == "classify_echo"


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (b"{", "card 0 is not JSON"),
        (b"[]", "card 0 is not an object"),
        (b"{}", "card 0 is not a model card"),
        (output(ECHO, dtype="int4"), "type int4, which is not served"),
        (output(ECHO, bytes=3), "shape and bytes disagree"),
        (output(ECHO, shape=[0], bytes=0), "shape and bytes disagree"),
        (changed(ECHO, inputs=[]), "no inputs or no outputs"),
        (changed(ECHO, outputs=[]), "no inputs or no outputs"),
        (changed(BRIGHT, labels=["a"]), "3 classes but 1 labels"),
        (output(ECHO, shape="x"), "card 0 is not a model card"),
    ],
)
def test_bad_cards_are_named(card: Any, words: str) -> None:
    text = card if isinstance(card, bytes) else json.dumps(card).encode()
    with pytest.raises(model.CardError, match=words):
        model.load(0, text, {})


def test_per_channel_quantisation_of_an_output_has_no_single_scale() -> None:
    quantisation = {"scale": [0.1, 0.2], "zero_point": [0, 0], "axis": 1}
    assert load(output(ECHO, quantisation=quantisation)).outputs[0].scale is None


@pytest.mark.parametrize("card", _edge_kernels.CARDS, ids=lambda card: card["name"])
@pytest.mark.parametrize("revision", revisions.ALL, ids=lambda revision: revision.name)
def test_schemas_are_valid(card: dict[str, Any], revision: revisions.Revision) -> None:
    entry = tools.tool(load(card), revision)
    jsonschema.Draft202012Validator.check_schema(entry["inputSchema"])
    jsonschema.Draft202012Validator.check_schema(entry.get("outputSchema", {}))
    assert len(entry["name"]) <= 64


@pytest.mark.parametrize(
    ("fields", "overrides", "words"),
    [
        ({"dtype": "float32", "bytes": 192}, {}, "; pixels become 0..1"),
        ({"dtype": "float32", "bytes": 192}, {"pixel_range": "0..255"}, "; pixels become 0..255"),
        ({"dtype": "float32", "bytes": 192}, {"content": "audio"}, "; samples become -1..1"),
        ({}, {"pixel_range": "-1..1"}, "; pixels become -1..1"),
        ({}, {"content": "audio"}, "one channel); real value"),
        ({}, {}, "of exactly that size); real value"),
    ],
)
def test_the_tool_says_what_pixels_become(
    fields: dict[str, Any], overrides: dict[str, Any], words: str
) -> None:
    card = changed(BRIGHT, inputs=[{**BRIGHT["inputs"][0], **fields}])
    assert words in tools.tensor_words(load(card, **overrides).inputs[0])


ARGUMENTS: list[tuple[dict[str, Any], object, bool]] = [
    (ECHO, {"inputs": [0] * 640}, True),
    (ECHO, {"inputs": [[0] * 640]}, True),
    (ECHO, {"inputs": "A" * 855 + "="}, False),
    (ECHO, {"inputs": "A" * 854 + "=="}, True),
    (ECHO, {"inputs": [0] * 639}, False),
    (ECHO, {"inputs": [128] * 640}, False),
    (ECHO, {"inputs": ["0"] * 640}, False),
    (ECHO, {"inputs": {"type": "image", "data": "AAAA"}}, False),
    (ECHO, {}, False),
    (ECHO, {"inputs": [0] * 640, "more": 1}, False),
    (PAIR, {"inputs": {"a": [1, 2, 3, 4], "b": [0.5] * 4}}, True),
    (PAIR, {"inputs": {"a": [1, 2, 3, 4]}}, False),
    (PAIR, {"inputs": {"a": [1] * 4, "b": [1] * 4, "c": [1]}}, False),
    (PAIR, {"inputs": [1, 2, 3, 4]}, False),
    (BROKEN, {"inputs": [0.5]}, False),
    (BROKEN, {"inputs": None}, False),
]


@pytest.mark.parametrize(("card", "given_arguments", "good"), ARGUMENTS)
def test_what_the_schema_says_is_what_is_taken(
    card: dict[str, Any], given_arguments: dict[str, Any], good: bool
) -> None:
    found = load(card)
    schema = tools.input_schema(found)
    assert jsonschema.Draft202012Validator(schema).is_valid(given_arguments) or not good
    if good:
        raw = arguments.inputs(found, given_arguments)
        assert [len(one) for one in raw] == [tensor.bytes for tensor in found.inputs]
    else:
        with pytest.raises(Refused):
            arguments.inputs(found, given_arguments)


@pytest.mark.parametrize(
    ("given_arguments", "words"),
    [
        ({"input": 1}, "unknown argument 'input'; the only one is 'inputs'"),
        ({}, "missing argument 'inputs'"),
        ({"inputs": "[1,"}, "inputs: the JSON in this string is wrong at byte 3: expected a value"),
        ({"inputs": '{"a":[1]}'}, "inputs: missing tensor 'b'|inputs.a: expected 4"),
        ({"inputs": 1}, "inputs: expected an object"),
        ({"inputs": {"c": 1}}, "inputs: unknown tensor 'c'; known are a, b"),
        ({"inputs": {"a": [1] * 4}}, "inputs: missing tensor 'b'"),
        ({"inputs": {"a": [1], "b": [1]}}, "inputs.a: expected 4 numbers, got 1"),
        ({"inputs": {"a": None, "b": [1]}}, "inputs.a: expected an array of numbers or base64"),
    ],
)
def test_refusals_name_the_place(given_arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        arguments.inputs(load(PAIR), given_arguments)


def test_json_in_a_string_is_what_it_says() -> None:
    assert arguments.inputs(load(BROKEN), {"inputs": "[7]"}) == [b"\x07"]
    pair = '{"a": [1, 2, 3, 4], "b": [0, 0, 0, 0]}'
    assert arguments.inputs(load(PAIR), {"inputs": pair})[1] == bytes(16)


@given(st.binary(min_size=3, max_size=3))
def test_classification_agrees_with_a_plain_reading(data: bytes) -> None:
    found = load(BRIGHT)
    text = results.ResultText(found).structured([data])
    assert text is not None
    result = json.loads(text)
    jsonschema.validate(result, tools.output_schema(found))
    stored = struct.unpack("3b", data)
    order = sorted(range(3), key=lambda index: (-stored[index], index))
    assert [entry["index"] for entry in result["top"]] == order
    assert result["label"] == BRIGHT["labels"][order[0]]
    assert result["outputs"][0]["values"] == list(stored)
    assert result["outputs"][0]["real"] == [(value + 128) / 256 for value in stored]
    assert math.isclose(result["score"], (stored[order[0]] + 128) / 256, rel_tol=1e-5)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "float32", "float64", "bool"])
def test_every_type_of_output_is_told(dtype: str) -> None:
    size = {"int16": 2, "int32": 4, "float32": 4, "float64": 8}.get(dtype, 1)
    letter = {"int16": "h", "int32": "i", "float32": "f", "float64": "d"}.get(dtype, "B")
    quantised = {"scale": [0.25], "zero_point": [1], "axis": None}
    card = output(ECHO, shape=[2], dtype=dtype, bytes=2 * size,
                  quantisation=quantised if dtype[0] != "f" else None)  # fmt: skip
    found = load(card)
    result = json.loads(results.ResultText(found).structured([struct.pack(f"<2{letter}", 1, 0)]))
    jsonschema.validate(result, tools.output_schema(found))
    assert result["outputs"][0]["values"] == [1, 0]
    if dtype[0] != "f":
        assert result["outputs"][0]["real"] == [0, -0.25]


def test_without_labels_a_class_is_its_number() -> None:
    text = results.ResultText(load(changed(BRIGHT, labels=None))).structured([b"\0\1\0"])
    assert json.loads(text or "")["label"] == "1"


def test_a_float_model_may_classify() -> None:
    found = load(PAIR, task="classify", top=2)
    text = results.ResultText(found).structured([struct.pack("<4f", 0.5, 3, 1, 1), bytes(16)])
    result = json.loads(text or "")
    jsonschema.validate(result, tools.output_schema(found))
    assert [entry["index"] for entry in result["top"]] == [1, 2]


def test_not_finite_outputs_have_no_json() -> None:
    text = results.ResultText(load(PAIR)).structured([struct.pack("<4f", 1, math.nan, 0, 0)] * 2)
    assert text is None


def test_float32_keeps_every_bit() -> None:
    value = struct.unpack("<f", b"\x7b\x14\x2e\x3f")[0]
    text = results.ResultText(load(PAIR)).structured([struct.pack("<4f", *[value] * 4)] * 2)
    told = json.loads(text or "")["outputs"][0]["values"][0]
    assert struct.pack("<f", told) == b"\x7b\x14\x2e\x3f"


@given(st.lists(st.integers(-5, 5), max_size=20), st.integers(1, 6))
def test_best_is_a_stable_sort(values: list[int], count: int) -> None:
    expected = sorted(range(len(values)), key=lambda index: (-values[index], index))[:count]
    assert results.best(tuple(values), count) == expected


# --- setting up --------------------------------------------------------------------------------


def start(cards: list[dict[str, Any]], document: object) -> Any:
    return setup.gateway([json.dumps(card).encode() for card in cards], document, "c.toml", "1", 0)


def test_the_request_limit_follows_the_largest_input() -> None:
    assert start([BROKEN], {}).settings["max_request_bytes"] == 65536
    big = changed(
        ECHO, inputs=[{**ECHO["inputs"][0], "shape": [1, 9], "bytes": 900000, "dtype": "float32"}]
    )
    big["inputs"][0]["shape"] = [225000]
    big["inputs"][0]["quantisation"] = None
    settings = start([big], {}).settings
    assert settings["max_request_bytes"] > 225000 * 24
    assert settings["max_buffered_bytes"] == 4 * settings["max_request_bytes"]
    fixed = start([big], {"gateway": {"max_request_bytes": 5000}}).settings
    assert fixed["max_request_bytes"] == 5000


@pytest.mark.parametrize(
    ("cards", "document", "words"),
    [
        ([ECHO], {"gateway": {"nme": 1}}, "did you mean 'name'"),
        ([ECHO], {"models": {"ecco": {}}}, "is not a model of this gateway; did you mean 'echo'"),
        ([ECHO, ECHO], {}, "two models have the tool name 'infer_echo'"),
        ([changed(BRIGHT, labels=["a"])], {}, "3 classes but 1 labels"),
        (
            [BROKEN],
            {"models": {"broken": {"content": "image"}}},
            "input 'input' cannot be image content: its shape",
        ),
    ],
)
def test_what_cannot_start_says_why(
    cards: list[dict[str, Any]], document: object, words: str
) -> None:
    with pytest.raises(setup.SetupError, match=words):
        start(cards, document)


def test_records_are_plain() -> None:
    class Point(Record):
        __slots__ = ("x", "y")

    assert Point(x=1, y=2) == Point(x=1, y=2)
    assert Point(x=1, y=2) != Point(x=1, y=3)
    assert Point(x=1, y=2) != (1, 2)
    assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"
    assert len({Point(x=1, y=2), Point(x=1, y=2)}) == 2
    with pytest.raises(TypeError, match="unknown field z"):
        Point(x=1, y=2, z=3)
    with pytest.raises(KeyError):
        Point(x=1)

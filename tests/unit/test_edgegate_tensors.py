# SPDX-License-Identifier: Apache-2.0
"""Numbers and base64 to raw tensors and back."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.core import base64text, tensors
from edgegate.core.tensors import Refused


@given(st.binary(max_size=100))
def test_base64_of_anything_decodes(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert base64text.decode(text) == data
    assert base64text.decoded_bytes(text) == len(data)


@given(st.text(alphabet="AB+/=-_ \né", max_size=12))
def test_base64_is_as_strict_as_python_can_be(text: str) -> None:
    try:
        expected: bytes | None = base64.b64decode(text, validate=True)
        if len(text) % 4 or not text.isascii():
            expected = None
    except ValueError:
        expected = None
    assert base64text.decode(text) == expected


@pytest.mark.parametrize("dtype", [*tensors.INTEGERS, *tensors.REALS])
@given(data=st.data())
def test_numbers_survive_the_round_trip(dtype: str, data: st.DataObject) -> None:
    if dtype in tensors.REALS:
        width = 32 if dtype == "float32" else 64
        number = st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    else:
        _size, _letter, low, high = tensors.INTEGERS[dtype]
        number = st.integers(low, high)  # type: ignore[assignment]
    values = data.draw(st.lists(number, min_size=1, max_size=8))
    raw = tensors.from_numbers(list(values), [len(values)], dtype)
    assert len(raw) == len(values) * tensors.value_bytes(dtype)
    assert list(tensors.numbers(raw, dtype)) == values
    text = tensors.text(tensors.numbers(raw, dtype), dtype)
    assert (
        tensors.from_numbers(
            [float(v) if dtype in tensors.REALS else int(v) for v in text.split(",")],
            [len(values)],
            dtype,
        )
        == raw
    )


def test_nesting_may_be_flat_full_or_without_leading_ones() -> None:
    flat = list(range(12))
    bare = [flat[:4], flat[4:8], flat[8:]]
    for given_values in (flat, bare, [bare]):
        assert tensors.from_numbers(given_values, [1, 3, 4], "int8") == bytes(flat)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, 2, 3], "expected 4 numbers, got 3"),
        ([], "expected 4 numbers, got 0"),
        ([[1, 2, 3, 4]], "expected 2x2, got 1 levels|expected an array of shape 2x2"),
        ([[1, 2], [3]], "expected an array of shape 2x2"),
        ([[1, 2], 3], "expected an array of shape 2x2"),
        ([[[1, 2], [3, 4]]], "got 3 levels"),
        ([1, 2, 3, 128], "number 3 is 128, outside -128 to 127"),
        ([1, 2, -129, 1], "number 2 is -129"),
        ([1, 2, 3, 10**30], "number 3 is 1000000000000000000000000000000, outside"),
        ([1, 2, 3.0, 4], "number 2 is not an integer"),
        ([1, True, 3, 4], "number 1 is not an integer"),
        ([1, None, 3, 4], "number 1 is not an integer"),
        ([1, "2", 3, 4], "number 1 is not an integer"),
        ([1, [2], 3, 4], "number 1 is not an integer"),
    ],
)
def test_refuses_and_says_why(values: list[object], words: str) -> None:
    with pytest.raises(Refused, match=words):
        tensors.from_numbers(values, [2, 2], "int8")


@pytest.mark.parametrize(
    ("value", "dtype", "words"),
    [
        (1e39, "float32", "number 0 is too large for float32"),
        (10**400, "float64", "number 0 is too large for float64"),
        (False, "float32", "number 0 is not a number"),
        ("1", "float32", "number 0 is not a number"),
        (2**31, "int32", "number 0 is 2147483648, outside"),
    ],
)
def test_refuses_what_the_type_cannot_hold(value: object, dtype: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        tensors.from_numbers([value], [1], dtype)


def test_floats_take_integers() -> None:
    assert tensors.from_numbers([3], [1], "float32") == struct.pack("<f", 3)


def test_base64_length_is_checked_before_it_is_decoded() -> None:
    assert tensors.from_base64("AAEC", 3) == b"\x00\x01\x02"
    with pytest.raises(Refused, match="expected base64 of 4 bytes, got text for 3"):
        tensors.from_base64("AAEC", 4)
    with pytest.raises(Refused, match="not valid base64"):
        tensors.from_base64("A*EC", 3)


def test_unknown_types_have_no_size() -> None:
    assert tensors.value_bytes("int4") == 0
    assert tensors.shape_text([]) == "scalar"
    assert tensors.shapes([]) == [[1]]


def test_not_finite_is_seen() -> None:
    assert tensors.finite((1.0, -3))
    assert not tensors.finite((1.0, float("nan")))
    assert not tensors.finite((float("inf"),))

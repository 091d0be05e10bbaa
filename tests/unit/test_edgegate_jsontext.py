# SPDX-License-Identifier: Apache-2.0
"""The strict JSON reader and writer, beside Python's own."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.core import jsontext

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=30,
)


def strict(data: bytes) -> object:
    """Python's reader, made to refuse what ours refuses."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("duplicate")
        return found

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError("range")
        return value

    def refuse(text: str) -> None:
        raise ValueError(text)

    value = json.loads(
        data.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=refuse
    )
    json.dumps(value, ensure_ascii=False).encode()  # lone surrogates
    return value


@given(VALUES, st.booleans())
def test_reads_what_python_writes(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert jsontext.loads(text.encode(), 50) == value


@given(VALUES)
def test_writes_what_python_reads(value: object) -> None:
    text = jsontext.dumps(value)
    assert text.isascii()
    assert json.loads(text) == value


@given(
    st.binary(max_size=40)
    | st.text(alphabet='[]{}",:0123456789.eE+-tfnul \\ud8', max_size=30).map(str.encode)
)
def test_agrees_with_python_on_what_is_json(data: bytes) -> None:
    try:
        expected = strict(data)
    except (ValueError, RecursionError):
        with pytest.raises(jsontext.JsonError):
            jsontext.loads(data, 1000)
        return
    assert jsontext.loads(data, 1000) == expected


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "expected a value", 0),
        (b"[1 2]", "expected ',' or ']'", 3),
        (b"[1,]", "expected a value", 3),
        (b'{"a" 1}', "expected ':'", 5),
        (b'{"a":1 "b"}', "expected ',' or '}'", 7),
        (b"{1:2}", "expected a key", 1),
        (b'{"a":1,"a":2}', "duplicate key", 7),
        (b"nul", "expected a value", 0),
        (b"NaN", "expected a value", 0),
        (b"-", "malformed number", 0),
        (b"01", "malformed number", 0),
        (b"1.", "malformed number", 0),
        (b"1e+", "malformed number", 0),
        (b"1e999", "number out of range", 0),
        (b"1" * 70, "number too long", 0),
        (b"1." + b"1" * 70, "number too long", 0),
        (b'"\xff"', "not UTF-8", 1),
        (b'"a\nb"', "control character or end of text in a string", 2),
        (b'"a\\tb', "control character or end of text in a string", 5),
        (b'"\\x"', "unknown escape", 1),
        (b'"\\u12"', "malformed \\u escape", 1),
        (b'"\\ud800"', "lone surrogate", 1),
        (b'"\\udc00"', "lone surrogate", 1),
        (b'"\\ud800\\u0041"', "lone surrogate", 1),
        (b"1 2", "unexpected text after the value", 2),
        (b"1\x00", "unexpected text after the value", 1),
        (b"\xef\xbb\xbf1", "expected a value", 0),
        (b"[[[[1]]]]", "nested too deep", 3),
    ],
)
def test_says_what_is_wrong_and_where(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(jsontext.JsonError) as caught:
        jsontext.loads(data, 3)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


def test_depth_counts_what_is_open_not_what_was() -> None:
    assert jsontext.loads(b"[[],[],[[]]]", 3) == [[], [], [[]]]


def test_numbers_keep_their_kind() -> None:
    values = jsontext.loads(b"[1, 1.0, -0, 1e2, 123456789012345678901, -5]", 2)
    assert values == [1, 1.0, 0, 100.0, 123456789012345678901, -5]
    assert [type(value) for value in values] == [int, float, int, float, int, int]  # type: ignore[attr-defined]


def test_writes_keys_in_order_and_short_reals() -> None:
    assert jsontext.dumps({"b": 0.1, "a": [1.5, 1e-7, 1 / 3, True, None, False]}) == (
        '{"a":[1.5,1e-07,0.3333333333333333,true,null,false],"b":0.1}'
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_real_reads_back_as_itself(value: float) -> None:
    assert float(jsontext.real_text(value)) == value


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", fullmatch=True))
def test_short_and_long_decimals_read_as_the_nearest_double(text: str) -> None:
    value = jsontext.loads(text.encode(), 1)
    assert isinstance(value, float)
    assert value.hex() == float(text).hex()

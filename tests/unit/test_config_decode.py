# SPDX-License-Identifier: Apache-2.0
"""The TOML decoder: every mistake names its key, its file and a way out."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.config.decode import MAX_TOML_BYTES, decode, nearest, read_toml
from edgebuild.errors import EdgebuildError


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = field(metadata={"doc": "What it is called."})
    flags: tuple[str, ...] = ()
    fast: bool = False
    inner: Inner
    maybe: str | None = None


GOOD = {"name": "x", "inner": {"size": 3}}


def failing(table: dict[str, object]) -> EdgebuildError:
    with pytest.raises(EdgebuildError) as caught:
        decode(Outer, table, where="board.toml")
    assert caught.value.where == "board.toml"
    return caught.value


def test_a_table_becomes_a_dataclass() -> None:
    made = decode(Outer, GOOD | {"flags": ["a", "b"], "maybe": "m"}, where="f")
    assert made == Outer(name="x", flags=("a", "b"), inner=Inner(size=3), maybe="m")


def test_an_integer_serves_as_a_float() -> None:
    assert decode(Inner, {"size": 1, "rate": 2}, where="f") == Inner(size=1, rate=2.0)


def test_unknown_key_names_the_nearest_E004() -> None:
    error = failing(GOOD | {"inner": {"sise": 3}})
    assert error.kind.code == "E004"
    assert "'inner.sise'" in error.message
    assert error.hint == "did you mean size?"


def test_missing_key_quotes_its_documentation_E005() -> None:
    error = failing({"inner": {"size": 1}})
    assert error.kind.code == "E005"
    assert "'name'" in error.message
    assert error.hint == "What it is called."


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"name": 3}, "'name'"),
        ({"fast": 1}, "'fast'"),
        ({"inner": {"size": True}}, "'inner.size'"),
        ({"inner": {"size": -1}}, "'inner.size'"),
        ({"inner": 4}, "'inner'"),
        ({"flags": "a"}, "'flags'"),
        ({"flags": ["a", 1]}, "'flags[1]'"),
    ],
)
def test_wrong_value_names_its_key_E006(change: dict[str, object], key: str) -> None:
    error = failing(GOOD | change)
    assert error.kind.code == "E006"
    assert key in error.message


def test_nearest_lists_all_when_nothing_is_close() -> None:
    assert nearest("zzzz", ["alpha", "beta"]) == "known: alpha, beta"


def test_missing_file_E002(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError, match="E002"):
        read_toml(tmp_path / "no.toml")


@pytest.mark.parametrize("data", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"[" * 5000])
def test_invalid_toml_E003(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(data)
    with pytest.raises(EdgebuildError, match="E003"):
        read_toml(path)


def test_huge_toml_is_not_parsed_E003(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    path.write_bytes(b"#" * (MAX_TOML_BYTES + 1))
    with pytest.raises(EdgebuildError, match="larger than"):
        read_toml(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "flags", "fast", "inner", "x"]), values))
def test_any_table_decodes_or_is_refused_plainly(table: dict[str, object]) -> None:
    try:
        decode(Outer, table, where="f")
    except EdgebuildError as error:
        assert error.kind.code in ("E004", "E005", "E006")

# SPDX-License-Identifier: Apache-2.0
"""How much memory was used since a value was."""

from types import SimpleNamespace

import pytest

from edgebuild.kernels import reach
from edgebuild.kernels.calls import Value
from edgebuild.kernels.emission import CallCode

SIZES = {"x": 10, "a": 100, "b": 40, "c": 100, "y": 5}


def code(constants: int = 0, offset: int = -1, scratch: int = 0) -> CallCode:
    return CallCode(
        phases=(), constants_offset=offset, constants_bytes=constants, scratch_bytes=scratch
    )


def program(*calls: tuple[tuple[str, ...], str]) -> SimpleNamespace:
    return SimpleNamespace(
        calls=[SimpleNamespace(inputs=inputs, output=output) for inputs, output in calls],
        values={n: Value(name=n, shape=(size,), dtype="int8") for n, size in SIZES.items()},
        graph=SimpleNamespace(inputs=("x",), outputs=("y",)),
        root=lambda name: name,
    )


def plan(scratch: list[int], **offsets: int) -> SimpleNamespace:
    return SimpleNamespace(offsets=offsets, scratch=scratch)


def test_what_was_used_since():
    net = program((("x",), "a"), (("a",), "b"), (("a", "b"), "y"))
    codes = [code(1000, 0), code(200, 1000, scratch=16), code()]
    found = reach.reach(net, codes, plan([-1, 256, -1], a=0, b=128))
    # the call before wrote it, beside its input and its weights
    assert found[1]["a"] == 100 + 10 + 1000
    assert found[2] == {
        "a": 100 + 40 + 200 + 16,
        "b": 100 + 40 + 200 + 16,
        # the last inference wrote it; everything is used in one
        "y": 10 + 100 + 40 + 5 + 1000 + 200 + 16,
    }
    assert found[0]["x"] == found[2]["y"]


def test_a_place_is_near_whoever_had_it():
    """``c`` takes over the memory of ``a``, then of nothing else: it is there already."""
    net = program((("x",), "a"), (("a",), "b"), (("b",), "c"), (("c",), "y"))
    found = reach.reach(net, [code()] * 4, plan([-1] * 4, a=0, b=128, c=0))
    assert found[2]["c"] == 100 + 40
    over = reach.reach(net, [code()] * 4, plan([-1] * 4, a=0, b=0, c=0))
    assert "b" not in over[1]


@pytest.mark.parametrize("spans", [[(0, 10), (5, 20)], [(5, 20), (0, 10)], [(0, 20), (3, 4)]])
def test_bytes_count_once(spans: list[tuple[int, int]]):
    net = program((("x",), "a"))
    codes = [code(spans[0][1] - spans[0][0], spans[0][0])]
    codes.append(code(spans[1][1] - spans[1][0], spans[1][0]))
    net.calls.append(SimpleNamespace(inputs=("x",), output="a"))
    found = reach.reach(net, codes, plan([-1, -1], a=0))
    assert found[0]["x"] == 110 + codes[1].constants_bytes

# SPDX-License-Identifier: Apache-2.0
"""Unified kernel images: the sections are where a PE loader looks for them."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.images import uki
from edgebuild.lab import media
from tests.unit.image_helpers import stub


@given(st.lists(st.binary(min_size=1, max_size=9000), min_size=1, max_size=5))
def test_sections_come_back(contents: list[bytes]) -> None:
    sections = {f".part{index}": content for index, content in enumerate(contents)}
    made = uki.assemble(stub(), sections)
    found = media.sections(made)
    assert {name: found[name] for name in sections} == sections
    assert found[".s0"] == b"S" * 16


def test_addresses_are_aligned_and_do_not_overlap() -> None:
    made = uki.assemble(stub(), {".linux": bytes(5000), ".initrd": b"i"})
    heads = [struct.unpack_from("<8sIIII", made, 64 + 24 + 112 + 40 * i) for i in range(4)]
    places = [(address, size) for _, size, address, _, _ in heads]
    assert all(address % 4096 == 0 for address, _ in places)
    assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(places))
    assert all(raw % 512 == 0 for *_, raw in heads)
    (memory,) = struct.unpack_from("<I", made, 64 + 24 + 56)
    assert memory >= sum(places[-1])
    assert struct.unpack_from("<I", made, 64 + 24 + 64) == (0,)


@pytest.mark.parametrize(
    "broken",
    [b"", b"MZ", b"PK" + bytes(100), stub()[:90], stub(sections=2, room=320)],
    ids=["empty", "two bytes", "no PE", "truncated", "full"],
)
def test_a_stub_that_is_none_is_refused_E406(broken: bytes) -> None:
    with pytest.raises(EdgebuildError) as error:
        uki.assemble(broken, {".linux": b"x", ".initrd": b"y", ".cmdline": b"z"})
    assert error.value.kind.code == "E406"

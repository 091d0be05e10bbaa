# SPDX-License-Identifier: Apache-2.0
"""The generated reference pages say what the code says."""

import pytest

from tests.tools.reference import FOLDER, pages


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_page_is_in_step(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run: python -m tests.tools.reference"


def test_every_key_of_a_profile_is_explained() -> None:
    rows = [line for line in pages()["profile.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    assert all(not row.endswith("|  |") for row in rows)

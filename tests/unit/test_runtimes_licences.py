# SPDX-License-Identifier: Apache-2.0
"""Every linked package is named with its licence, and the texts go along."""

from __future__ import annotations

from pathlib import Path

import pytest
from license_expression import get_spdx_licensing

from edgebuild.errors import EdgebuildError
from edgebuild.host import lockfile
from edgebuild.host.paths import data_dir
from edgebuild.runtimes import licences
from tests.unit import runtimes_helpers as helpers

TEXTS = data_dir() / "runtime/licences"


def test_the_table_names_what_is_linked_and_nothing_else() -> None:
    table = licences.table(helpers.lock(), "arm64")
    names = [entry["name"] for entry in table]
    assert names == sorted(names)
    assert "linux-libc-dev" not in names  # headers
    assert "python3.13" in names  # compiled from source
    libc = next(entry for entry in table if entry["name"] == "libc6-dev")
    assert libc["licence"].startswith("LGPL-2.1-or-later")
    assert libc["files"][0]["purl"].startswith("pkg:deb/debian/libc6-dev@1.0")


def test_the_shipped_lock_is_reviewed_for_every_cpu() -> None:
    lock = lockfile.read(data_dir() / "locks/trixie.lock.json")
    tables = [licences.table(lock, arch) for arch in ("amd64", "arm64", "riscv64")]
    assert len({tuple(entry["name"] for entry in table) for table in tables}) == 1


def test_e307_for_a_package_nobody_looked_at() -> None:
    with pytest.raises(EdgebuildError) as caught:
        licences.table(helpers.lock("libc6-dev", "libreadline-dev"), "arm64")
    assert caught.value.kind.code == "E307"
    assert "libreadline-dev" in caught.value.message


def test_e110_without_the_python_source() -> None:
    with pytest.raises(EdgebuildError) as caught:
        licences.table(helpers.lock(sources=("openssl",)), "arm64")
    assert caught.value.kind.code == "E110"


@pytest.mark.parametrize("name", sorted(licences.REVIEWED))
def test_expressions_are_spdx(name: str) -> None:
    expression = licences.REVIEWED[name].licence
    assert get_spdx_licensing().validate(expression).errors == []


def test_the_text_holds_table_notices_and_licences(tmp_path: Path) -> None:
    for folder, name in (("one", "usr/share/doc/libssl-dev/copyright"), ("two", "LICENSE")):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True)
        path.write_text(f"notice {name}\n")
    table = licences.table(helpers.lock(), "arm64")
    text = licences.text(table, TEXTS, [tmp_path / "one", tmp_path / "two"])
    assert "libc6-dev 1.0  LGPL-2.1-or-later" in text
    assert "notice LICENSE" in text
    assert "notice usr/share/doc/libssl-dev/copyright" in text
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in text
    assert "GCC RUNTIME LIBRARY EXCEPTION" in text
    assert "Apache License" in text
    assert "relink" in text
    assert str(tmp_path) not in text

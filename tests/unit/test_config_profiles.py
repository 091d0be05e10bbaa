# SPDX-License-Identifier: Apache-2.0
"""Profiles: what ships is valid, and a board of the user's own needs only a file."""

from pathlib import Path

import pytest

from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError

TARGETS = Path(__file__).resolve().parents[2] / "targets"


@pytest.mark.parametrize("name", profiles.names(TARGETS))
def test_every_shipped_profile_is_valid(name: str) -> None:
    profile = profiles.load(name, TARGETS)
    assert profile.name == name
    assert profile.memory.source


def test_the_three_targets_of_the_first_release_are_there() -> None:
    assert {"x86_64", "rpi4", "riscv64"} <= set(profiles.names(TARGETS))


def test_rpi4_claims_no_instruction_that_a_cortex_a72_lacks() -> None:
    cpu = profiles.load("rpi4", TARGETS).cpu
    assert cpu.model == "cortex-a72"
    assert not any("dotprod" in feature or "lse" in feature for feature in cpu.features)


def test_unknown_target_names_the_nearest_E001() -> None:
    with pytest.raises(EdgebuildError, match="E001") as caught:
        profiles.load("rpi5", TARGETS)
    assert "rpi4" in str(caught.value.hint)


def own(tmp_path: Path, old: str = "", new: str = "") -> Path:
    path = tmp_path / "myboard.toml"
    path.write_text((TARGETS / "rpi4.toml").read_text().replace(old, new))
    return path


def test_a_board_of_ones_own_is_one_file(tmp_path: Path) -> None:
    profile = profiles.load(str(own(tmp_path)), TARGETS)
    assert profile.name == "myboard"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('debian_arch = "arm64"', 'debian_arch = "amd64"', "debian_arch"),
        ('arch = "aarch64"', 'arch = "sparc"', "cpu.arch"),
        ('method = "raspberrypi"', 'method = "magic"', "boot.method"),
        ('"oci"', '"floppy"', "floppy"),
        ("cores = 4", "cores = 0", "cpu.cores"),
        ("vector_bits = 128", "vector_bits = 127", "cpu.vector_bits"),
        ("vector_bits = 128", "vector_bits = 131072", "cpu.vector_bits"),
        ('title = "', 'name = "other"\ntitle = "', "name"),
    ],
)
def test_values_outside_their_bounds_E006(tmp_path: Path, old: str, new: str, key: str) -> None:
    with pytest.raises(EdgebuildError, match="E006") as caught:
        profiles.load(str(own(tmp_path, old, new)), TARGETS)
    assert key in caught.value.message


def test_missing_profile_file_E002(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError, match="E002"):
        profiles.load(str(tmp_path / "none.toml"), TARGETS)

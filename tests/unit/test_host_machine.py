# SPDX-License-Identifier: Apache-2.0
"""Where things are, and what this machine is."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

import edgebuild
from edgebuild.host import machine, paths


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("EDGEBUILD_CACHE", str(tmp_path))
    assert paths.cache_dir() == tmp_path
    monkeypatch.delenv("EDGEBUILD_CACHE")
    assert paths.cache_dir() == Path("/xdg/edgebuild")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert paths.cache_dir() == Path("/home/me/.cache/edgebuild")


def test_config_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert paths.config_dir() == Path("/xdg/edgebuild")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert paths.config_dir() == Path("/home/me/.config/edgebuild")


def test_data_dir_of_a_checkout_and_of_a_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (paths.data_dir() / "locks" / "inputs.toml").is_file()
    package = tmp_path / "site-packages" / "edgebuild"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr(edgebuild, "__file__", str(package / "__init__.py"))
    assert paths.data_dir() == package / "data"


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.cores() >= 1
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert machine.debian_arch() == "arm64"
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert machine.debian_arch() == "s390x"

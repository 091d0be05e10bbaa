# SPDX-License-Identifier: Apache-2.0
"""The gateway's Python as C."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.runtimes import gateway

FILES = {
    "edgegate/__init__.py": "",
    "edgegate/core/__init__.py": "",
    "edgegate/core/rules.py": "def f(x: int) -> int:\n    '''Words.'''\n    return x + 1\n",
    "edgegate/core/rules.pxd": "cpdef f(x)\n",
    "edgegate/linux/__init__.py": "",
    "edgegate/linux/rules.py": "from edgegate.core import rules\nVALUE = rules.f(1)\n",
    "edgegate/linux/notes.txt": "not a source",
}
MODULES = ["edgegate.core.rules", "edgegate.linux.rules"]


def package(root: Path) -> Path:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_only_sources_are_copied(tmp_path: Path) -> None:
    gateway.copy_sources(package(tmp_path / "in"), tmp_path / "out")
    copied = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert copied == set(FILES) - {"edgegate/linux/notes.txt"}


def test_packages_stay_bytecode(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "edgegate/linux/main.py").write_text("")  # runs once
    assert gateway.native_modules(tmp_path) == MODULES


def test_two_modules_of_one_name_get_two_initialisers() -> None:
    assert len({gateway.initialiser(name) for name in MODULES}) == 2


def test_c_does_not_depend_on_folder_or_jobs(tmp_path: Path) -> None:
    made = []
    for folder, jobs in ((tmp_path / "a", 1), (tmp_path / "b/c", 2)):
        units = gateway.cythonise(package(folder), MODULES, jobs=jobs)
        assert [unit.name for unit in units] == MODULES
        assert "-DPyInit_rules=PyInit_edgegate__linux__rules" in units[1].flags
        made.append([unit.source.read_bytes() for unit in units])
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in b"".join(made[0])
    assert b"Words" not in made[0][0]  # docstrings stay on the desk


def test_a_mistake_in_the_gateway_is_told_with_its_place(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "edgegate/core/rules.py").write_text("def f(:\n")
    with pytest.raises(EdgebuildError) as caught:
        gateway.cythonise(tmp_path, MODULES, jobs=1)
    assert "edgegate/core/rules.py:1" in caught.value.message

# SPDX-License-Identifier: Apache-2.0
"""What goes into the model-independent part, and how it is linked."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host.paths import data_dir
from edgebuild.runtimes import modules, objects, templates
from tests.unit import runtimes_helpers as helpers


def inputs(root: Path) -> objects.Inputs:
    return objects.Inputs(
        tools=helpers.tools(root),
        python=[sys.executable],
        stdlib=root / "stdlib",
        cpython=root / "cpython",
        runtime=data_dir() / "runtime",
        cores=4,
    )


@pytest.mark.parametrize("deb_arch", ["amd64", "arm64", "riscv64"])
def test_the_recipe_names_no_path_of_this_machine(tmp_path: Path, deb_arch: str) -> None:
    recipe = objects.link_recipe(helpers.tools(tmp_path, deb_arch), ["sys"])
    paths = [*recipe["start"], *recipe["archives"], *recipe["end"]]
    assert all(path.startswith("usr/lib/") for path in paths)
    assert recipe["modules"] == ["sys"]
    assert recipe["deb_arch"] == deb_arch
    # libm.a is a linker script where there is a vector library.
    assert ("libm.a" in str(paths)) == (deb_arch == "riscv64")


def test_e305_when_the_static_python_is_not_there(tmp_path: Path) -> None:
    tools = helpers.fill_sysroot(tmp_path)
    found = objects.archives(tools)
    assert found[0].name == "libpython3.13-pic.a"
    found[0].unlink()
    with pytest.raises(EdgebuildError) as caught:
        objects.archives(tools)
    assert caught.value.kind.code == "E305"


def test_only_wanted_extensions_are_compiled(tmp_path: Path) -> None:
    names = [unit.name for unit in objects.cpython_units(inputs(tmp_path), ["_ssl", "_sha2"])]
    assert names == ["_sha2-Hacl_Hash_SHA2", "_ssl-_ssl"]


def test_every_fixed_source_exists(tmp_path: Path) -> None:
    units = objects.own_units(inputs(tmp_path), tmp_path)
    fixed = [unit.source for unit in units if unit.source.parent != tmp_path]
    assert {path.stem for path in fixed} == {
        "main", "cpu", "needs", "kernels", "config", "lean", "threads",
    }  # fmt: skip
    assert all(path.is_file() for path in fixed)


def test_e304_names_importer_and_module(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "edgegate/linux").mkdir(parents=True)
    for name in ("__init__", "linux/__init__"):
        (source / f"edgegate/{name}.py").write_text("")
    (source / "edgegate/linux/main.py").write_text("import numpy\n")
    (tmp_path / "stdlib").mkdir()
    with pytest.raises(EdgebuildError) as caught:
        objects.freeze(inputs(tmp_path), source, tmp_path, [])
    assert caught.value.kind.code == "E304"
    assert "numpy" in caught.value.message
    assert caught.value.where == "edgegate.linux.main"


def test_freezing_answers_with_what_was_frozen(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "edgegate/linux").mkdir(parents=True)
    (source / "edgegate/linux/main.py").write_text("import select, json\n")
    (tmp_path / "stdlib").mkdir()
    (tmp_path / "stdlib/json.py").write_text("import _json\n")
    answer = objects.freeze(inputs(tmp_path), source, tmp_path, ["edgegate.linux.main"])
    assert {"json", "encodings.idna"} <= {name for name, *_ in answer["modules"]}
    assert {"select", "_json"} <= set(answer["builtins"])
    assert "math" not in answer["builtins"]


def test_tables_of_modules_hold_together() -> None:
    available = modules.available()
    assert set(modules.CORE) <= set(available)
    assert not set(modules.CORE) & set(modules.ARCHIVED)
    assert not set(modules.ABSENT) & set(available)
    assert modules.initialiser("sys") is None
    assert modules.initialiser("marshal") == "PyMarshal_Init"
    assert modules.initialiser("_ssl") == "PyInit__ssl"


def test_the_module_table_names_each_initialiser_once(tmp_path: Path) -> None:
    table = [("sys", None), ("_ssl", "PyInit__ssl")]
    templates.write("inittab.c.j2", tmp_path / "t.c", modules=table)
    text = (tmp_path / "t.c").read_text()
    assert text.count("extern PyObject *PyInit__ssl(void);") == 1
    assert '{"sys", NULL},' in text
    assert "extern PyObject *None" not in text


def test_importlib_is_in_a_table_of_its_own(tmp_path: Path) -> None:
    entries = [["_frozen_importlib", 0, 10, False], ["os", 10, 20, False], ["json", 30, 5, True]]
    first = ["_frozen_importlib"]
    text = templates.render("frozen.c.j2", modules=entries, first=first)
    bootstrap, rest = text.split("edge_frozen[]")[:2]
    assert '{"_frozen_importlib", code + 0, 10, 0}' in bootstrap
    assert '{"json", code + 30, 5, 1}' in rest
    assert '"os"' not in bootstrap


def test_a_cpu_keeps_its_own_flags(tmp_path: Path) -> None:
    tools = replace(helpers.tools(tmp_path), mcpu="x86_64_v3")
    assert objects.link_recipe(tools, [])["mcpu"] == "x86_64_v3"

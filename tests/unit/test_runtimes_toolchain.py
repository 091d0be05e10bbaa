# SPDX-License-Identifier: Apache-2.0
"""Names of CPUs, files of a sysroot, and real calls of the compiler and the linker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.runtimes.toolchain import MACHINES, Unit, machine, zig_cpu
from tests.unit import runtimes_helpers as helpers


@pytest.mark.parametrize(
    ("model", "features", "expected"),
    [
        ("cortex-a72", (), "cortex_a72"),
        ("x86-64-v3", (), "x86_64_v3"),
        ("generic-rv64", ("+m", "+zba"), "generic_rv64+m+zba"),
        ("x86-64", ("-sse4.1-x", "+avx512-fp16"), "x86_64-sse4.1_x+avx512_fp16"),
    ],
)
def test_llvm_names_become_zig_names(model: str, features: tuple[str, ...], expected: str) -> None:
    assert zig_cpu(helpers.cpu(model, features)) == expected


def test_e301_names_the_architectures_there_are() -> None:
    with pytest.raises(EdgebuildError) as caught:
        machine("mips64el")
    assert caught.value.kind.code == "E301"
    assert all(name in str(caught.value) for name in MACHINES)


def test_e305_names_the_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as caught:
        helpers.tools(tmp_path).find("usr/lib/aarch64-linux-gnu/libc.a")
    assert caught.value.kind.code == "E305"
    assert caught.value.where == "usr/lib/aarch64-linux-gnu/libc.a"


SOURCE = """
int used(void); int unused(void); int main(void);
int used(void) { return __FILE__[0]; }
int unused(void) { return 2; }
int main(void) { return used(); }
"""


@pytest.mark.parametrize("deb_arch", sorted(MACHINES))
def test_objects_do_not_depend_on_the_folder(tmp_path: Path, deb_arch: str) -> None:
    made = []
    for folder in (tmp_path / "a", tmp_path / "some/where/else"):
        folder.mkdir(parents=True)
        source = folder / "x.c"
        source.write_text(SOURCE)
        tools = helpers.tools(folder, deb_arch)
        tools = type(tools)(
            deb_arch=deb_arch, machine=tools.machine, mcpu="baseline", sysroot=folder
        )
        units = [Unit(name=name, source=source, flags=(f"-DN={name}",)) for name in ("p", "q")]
        first, second = tools.compile(units, folder, jobs=2)
        assert (first.name, second.name) == ("p.o", "q.o")
        tools.combine([first], [], folder / "all.o")
        made.append((first.read_bytes(), (folder / "all.o").read_bytes()))
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[0][0] + made[0][1]
    assert b"unused" in made[0][0]
    assert b"unused" not in made[0][1]  # what main does not reach is gone


def test_a_c_error_is_told_with_the_compilers_words(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("void *f(void) { return missing(); }\n")
    with pytest.raises(EdgebuildError) as caught:
        helpers.tools(tmp_path).compile([Unit(name="bad", source=source)], tmp_path, jobs=1)
    assert caught.value.kind.code == "E112"
    assert "compile bad.c for arm64" in caught.value.message
    assert "missing" in caught.value.message

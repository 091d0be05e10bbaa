# SPDX-License-Identifier: Apache-2.0
"""Bundles for Arm's M profile link with programs of either float convention."""

from pathlib import Path

import pytest

from edgebuild.host import compiler, process
from edgebuild.kernels import armtags

FUNCTION = "int edge(const float *x) { return x[0] * 2.5f > 1.0f; }"
PROGRAM = """
int edge(const float *x);
float half(float x) { return x / 2; }
float value;
void start(void) { value = half(value); for (;;) edge(&value); }
"""


def compiled(folder: Path, name: str, source: str, convention: str) -> Path:
    (folder / f"{name}.c").write_text(source)
    process.run(
        [*compiler.zig(), "cc", "-target", f"thumb-freestanding-eabi{convention}",
         "-mcpu=cortex_m4+vfp4d16sp", "-O1", "-fno-sanitize=undefined", "-c", f"{name}.c",
         "-o", f"{name}.o"],
        what="compile", cwd=folder,
    )  # fmt: skip
    return folder / f"{name}.o"


def link(folder: Path, *objects: Path) -> None:
    command = [*compiler.zig(), "ld.lld", "-e", "start", *objects, "-o", folder / "program"]
    process.run([*command, "--unresolved-symbols=ignore-all"], what="link")


@pytest.mark.parametrize("convention", ["", "hf"])
def test_links_with_either(tmp_path: Path, convention: str) -> None:
    kernels = compiled(tmp_path, "kernels", FUNCTION, "hf")
    program = compiled(tmp_path, "program", PROGRAM, convention)
    before = kernels.read_bytes()
    after = armtags.callable_by_either(before)
    assert sum(x != y for x, y in zip(before, after, strict=True)) == 1
    kernels.write_bytes(after)
    link(tmp_path, program, kernels)
    assert armtags.callable_by_either(after) == after


def test_without_the_tag_nothing_changes(tmp_path: Path) -> None:
    plain = compiled(tmp_path, "kernels", FUNCTION, "").read_bytes()
    assert armtags.callable_by_either(plain) == plain
    assert armtags.callable_by_either(b"A no attributes") == b"A no attributes"

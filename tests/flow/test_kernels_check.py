# SPDX-License-Identifier: Apache-2.0
"""Bundles against their references, on every processor: natively or under a user-mode QEMU."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError
from edgebuild.host import compiler, mirrors, paths, process, tools
from edgebuild.host.lockfile import read as load_lock
from edgebuild.host.store import Store
from edgebuild.kernels import bundle, check, importer, naming
from edgebuild.model.profile import Profile
from tests.models_build import mobilenet_v2, to_onnx, to_tflite, transformer
from tests.tools.one_operator import Case

pytestmark = pytest.mark.slow

MODELS = Path(os.environ["EDGEBUILD_TEST_MODELS"])
TARGETS = ("x86_64", "rpi4", "riscv64")
REAL = ("ad01_int8", "kws_ref_model", "pretrainedResnet", "pretrainedResnet_quant")


def profile(target: str) -> Profile:
    return profiles.load(target, paths.data_dir() / "targets")


def emulator(found: Profile) -> list[str]:
    """What runs a program of that processor here."""
    if not found.emulator.user:
        return []
    try:
        mirrors.mirrors(None)
    except EdgebuildError as error:
        pytest.skip(f"no mirror: {error.message}")
    lock = load_lock(paths.data_dir() / "locks" / "trixie.lock.json")
    return tools.tool(Store(cache=paths.cache_dir()), lock, found.emulator.user)


def made(name: str, folder: Path) -> Path:
    """A built model of the kind that its name says."""
    path = folder / name
    path.write_bytes(
        {
            "images_f32.onnx": lambda: to_onnx(mobilenet_v2(32, 0.25, 10), int8=False),
            "images_int8.onnx": lambda: to_onnx(mobilenet_v2(32, 0.25, 10), int8=True),
            "images_int8.tflite": lambda: to_tflite(mobilenet_v2(32, 0.25, 10), int8=True),
            "words.onnx": lambda: transformer(1, 32, 2, 9, 50),
        }[name]()
    )
    return path


def checked(model: Path, target: str, out: Path) -> dict[str, Any]:
    found = profile(target)
    bundle.compile(model, found.cpu, out, name=naming.identifier(model))
    return check.check(model, out, found.cpu, seed=3, emulator=emulator(found))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", REAL)
def test_real_models(name: str, target: str, tmp_path: Path) -> None:
    model = MODELS / f"{name}.tflite"
    if not model.exists():
        pytest.skip(f"{name} is not in EDGEBUILD_TEST_MODELS")
    report = checked(model, target, tmp_path)
    assert report["passed"], report
    exact = name != "pretrainedResnet"
    assert report["reference"] == ("exact" if exact else "tvm")
    if exact:
        assert all(row["differing"] == 0 for row in report["outputs"])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "name", ["images_f32.onnx", "images_int8.onnx", "images_int8.tflite", "words.onnx"]
)
def test_built_models(name: str, target: str, tmp_path: Path) -> None:
    report = checked(made(name, tmp_path), target, tmp_path / "out")
    assert report["passed"], report


def test_two_compilations_give_equal_bytes_and_the_plan_is_what_is_built(tmp_path: Path) -> None:
    model = made("images_int8.tflite", tmp_path)
    cpu = profile("rpi4").cpu
    for folder in ("a", "elsewhere"):
        bundle.compile(model, cpu, tmp_path / folder, name="images")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "elsewhere" / path.name).read_bytes(), path.name
    card = json.loads((tmp_path / "a" / "images.json").read_bytes())
    planned = bundle.plan(model, cpu, name="images")
    assert card.pop("code_bytes") > planned.pop("code_bytes") == 0
    assert card == planned


def test_a_bundle_gives_out_its_own_names_alone(tmp_path: Path) -> None:
    model = made("images_f32.onnx", tmp_path)
    bundle.compile(model, profile("x86_64").cpu, tmp_path, name="images")
    program = tmp_path / "names.c"
    program.write_text("int main(void) { return 0; }")
    # every name that the object wants from outside is one that each C library has
    done = process.run(
        [*compiler.zig(), "ld.lld", "-r", "--trace-symbol=malloc", tmp_path / "images.o",
         "-o", tmp_path / "again.o"], what="read the object"
    )  # fmt: skip
    assert b"malloc" not in done.stdout
    names = symbols((tmp_path / "images.o").read_bytes())
    wanted = {name for name, defined in names.items() if not defined}
    assert wanted <= {"memcpy", "memset", "memmove", "edge_parallel"}
    given = {name for name, defined in names.items() if defined}
    ours = {name for name in given if name.startswith("edge_images_")}
    # LLVM's own half-float helpers are weak, so that any C runtime may replace them
    assert given - ours <= {"__extendhfsf2", "__truncsfhf2"}
    assert {"edge_images_run", "edge_images_arena_bytes", "edge_images_card"} <= ours


def symbols(data: bytes) -> dict[str, bool]:
    """Global symbols of a 64-bit ELF object, and whether it defines them."""
    offset = int.from_bytes(data[40:48], "little")
    size, count = (int.from_bytes(data[at : at + 2], "little") for at in (58, 60))
    sections = [data[offset + n * size : offset + (n + 1) * size] for n in range(count)]

    def number(section: bytes, at: int, width: int = 8) -> int:
        return int.from_bytes(section[at : at + width], "little")

    table = next(s for s in sections if number(s, 4, 4) == 2)
    text = sections[number(table, 40, 4)]
    found = {}
    begin, length = number(table, 24), number(table, 32)
    for at in range(begin, begin + length, 24):
        entry = data[at : at + 24]
        name = number(text, 24) + number(entry, 0, 4)
        if entry[4] >> 4:  # global or weak
            found[data[name : data.index(b"\0", name)].decode()] = number(entry, 6, 2) != 0
    return found


def test_the_models_fault_comes_back_from_the_worker(tmp_path: Path) -> None:
    case = Case()
    x = case.plain((2, 2))
    model = tmp_path / "m.tflite"
    model.write_bytes(case.file("SVDF", [x], case.out((2, 2), None, dtype="float32")))
    with pytest.raises(EdgebuildError) as caught:
        bundle.compile(model, profile("x86_64").cpu, tmp_path, name="m")
    assert caught.value.kind.code == "E205"


def test_e210_a_compiler_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "child", lambda _module: (["false"], {}))
    with pytest.raises(EdgebuildError) as caught:
        bundle.plan(made("words.onnx", tmp_path), profile("x86_64").cpu, name="m")
    assert caught.value.kind.code == "E210"


def test_e211_a_program_that_cannot_run(tmp_path: Path) -> None:
    model = made("images_int8.tflite", tmp_path)
    cpu = profile("x86_64").cpu
    bundle.compile(model, cpu, tmp_path, name="images")
    with pytest.raises(EdgebuildError) as caught:
        check.check(model, tmp_path, cpu, seed=1, emulator=["false"])
    assert caught.value.kind.code == "E211"


def test_a_wrong_answer_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("images_int8.tflite", tmp_path)
    cpu = profile("x86_64").cpu
    bundle.compile(model, cpu, tmp_path, name="images")
    right = check.interpreter.outputs
    monkeypatch.setattr(
        check.interpreter, "outputs", lambda g, i: [a ^ np.int8(1) for a in right(g, i)]
    )
    report = check.check(model, tmp_path, cpu, seed=1)
    assert not report["passed"]
    assert report["outputs"][0]["differing"] == report["outputs"][0]["elements"]


def test_tvm_is_a_second_opinion_and_may_decline(tmp_path: Path) -> None:
    model = made("words.onnx", tmp_path)
    inputs = check.random_inputs(importer.load(model), 1)
    found = check.oracle(model, inputs, tmp_path)
    assert found is not None
    assert re.fullmatch(r"float32", found[0].dtype.name)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    (tmp_path / "outputs.npz").unlink()
    assert check.oracle(broken, inputs, tmp_path) is None

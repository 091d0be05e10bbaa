# SPDX-License-Identifier: Apache-2.0
"""Which modules belong to an executable, and bytecode that does not depend on where it was made."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from edgebuild.host.paths import data_dir
from edgebuild.runtimes import freezer

LIBRARY = data_dir() / "runtime/native/lib"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def request_(tmp_path: Path) -> dict[str, Any]:
    """A library and a gateway in which every kind of import occurs once."""
    write(
        tmp_path / "lib",
        {
            "plain.py": "import fast\nfrom pack.inner import thing\n\ndef f():\n    import never\n",
            "never.py": "",
            "pack/__init__.py": "from . import sibling\nfrom .inner import thing\n",
            "pack/inner.py": "from ..pack import sibling\nthing = 1\n",
            "pack/sibling.py": "try:\n    import _fallback\nexcept ImportError:\n    pass\n",
            "_fallback.py": "",
            "swapped.py": "import never\n",
            "lazy.py": "",
            "hints.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import never\n",
            "typing.py": "TYPE_CHECKING = False\n",
        },
    )
    write(
        tmp_path / "src",
        {
            "gate/__init__.py": "",
            "gate/main.py": "import plain, swapped, hints\n\ndef main():\n    import lazy\n",
            "gate/native.py": "",
        },
    )
    write(tmp_path, {"replacement.py": "VALUE = 7\n"})
    return {
        "stdlib": str(tmp_path / "lib"),
        "source": str(tmp_path / "src"),
        "package": "gate",
        "roots": ["gate.main", "gate.native"],
        "builtins": ["fast", "unused"],
        "absent": ["_fallback"],
        "native": ["gate.native"],
        "replacements": {"swapped": str(tmp_path / "replacement.py")},
        "out": str(tmp_path),
    }


def test_imports_are_followed_as_the_law_says(request_: dict[str, Any]) -> None:
    closure = freezer.close(request_)
    assert sorted(closure.found) == [
        "gate", "gate.main", "gate.native", "hints", "lazy", "pack", "pack.inner", "pack.sibling",
        "plain", "swapped", "typing",
    ]  # fmt: skip
    assert closure.builtins == {"fast"}
    assert closure.missing == []


def test_what_the_gateway_imports_and_nobody_has_is_named(request_: dict[str, Any]) -> None:
    (Path(request_["source"]) / "gate/main.py").write_text("import nowhere.deep\n")
    assert freezer.close(request_).missing == [("gate.main", "nowhere.deep")]


def test_an_absent_module_is_there_when_the_gateway_asks(request_: dict[str, Any]) -> None:
    (Path(request_["source"]) / "gate/main.py").write_text("import _fallback\n")
    assert "_fallback" in freezer.close(request_).found


def run_freezer(request: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    subprocess.run(
        [sys.executable, "-S", "-B", freezer.__file__],
        input=json.dumps(request).encode(),
        check=True,
        env={"PYTHONHASHSEED": "0"},
    )
    out = Path(request["out"])
    return (out / "frozen.bin").read_bytes(), json.loads((out / "frozen.json").read_text())


def test_the_blob_holds_code_for_each_module(request_: dict[str, Any]) -> None:
    blob, answer = run_freezer(request_)
    names = [name for name, *_ in answer["modules"]]
    assert names == sorted(names)
    assert "gate.native" not in names  # it is machine code
    assert answer["builtins"] == ["fast"]
    assert answer["missing"] == []
    codes = {
        name: (marshal.loads(blob[offset : offset + size]), package)
        for name, offset, size, package in answer["modules"]
    }
    assert codes["pack"][1] is True
    assert codes["swapped"][1] is False
    namespace: dict[str, Any] = {}
    exec(codes["swapped"][0], namespace)
    assert namespace["VALUE"] == 7
    assert codes["plain"][0].co_filename == "<frozen plain>"


def test_another_folder_gives_the_same_bytes(request_: dict[str, Any], tmp_path: Path) -> None:
    first = run_freezer(request_)
    elsewhere = tmp_path / "a/much/longer/name"
    for name in ("lib", "src"):
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).rename(elsewhere / name)
    (tmp_path / "replacement.py").rename(elsewhere / "other.py")
    moved = dict(request_, stdlib=str(elsewhere / "lib"), source=str(elsewhere / "src"))
    moved["replacements"] = {"swapped": str(elsewhere / "other.py")}
    assert run_freezer(moved) == first


def test_importlib_gets_the_name_it_starts_under(
    request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        Path(request_["stdlib"]),
        {"importlib/__init__.py": "", "importlib/_bootstrap.py": '"""Gone."""\nassert 0\n'},
    )
    request_["roots"].append("importlib._bootstrap")
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request_)))
    freezer.main()
    out = Path(request_["out"])
    modules = json.loads((out / "frozen.json").read_text())["modules"]
    offset, size = next(entry[1:3] for entry in modules if entry[0] == "_frozen_importlib")
    code = marshal.loads((out / "frozen.bin").read_bytes()[offset : offset + size])
    exec(code, {})  # the assert is gone
    assert code.co_consts[0] is None  # and the docstring


def load(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_our_typing_is_enough_for_tomllib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tomllib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typing", load("typing", LIBRARY / "typing.py"))
    import tomllib

    document = (
        'a = 1\nt = 2026-01-02T03:04:05Z\n[b."c"]\nd = [1.5, "x", true]\n[[e]]\nf = {g = 1}\n'
    )
    parsed = tomllib.loads(document)
    assert parsed["b"] == {"c": {"d": [1.5, "x", True]}}
    assert parsed["e"] == [{"f": {"g": 1}}]
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads("a = ")


def test_our_idna_codec_takes_names_as_they_are_on_the_wire() -> None:
    codec = load("encodings_idna", LIBRARY / "encodings_idna.py").getregentry()
    assert codec.name == "idna"
    assert codec.encode("xn--bcher-kva.example") == (b"xn--bcher-kva.example", 21)
    assert codec.decode(b"a.example") == ("a.example", 9)
    with pytest.raises(UnicodeError):
        codec.encode("bücher.example")
    with pytest.raises(UnicodeError, match="label too long"):
        codec.encode("a" * 64 + ".example")

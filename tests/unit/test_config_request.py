# SPDX-License-Identifier: Apache-2.0
"""A request: everything that was named is checked before work begins."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.config import gateway
from edgebuild.config.request import model_file, read
from edgebuild.errors import EdgebuildError
from edgebuild.model.naming import LIMIT, identifier
from edgebuild.model.request import BuildRequest

ROOT = Path(__file__).resolve().parents[2]


def request(models: list[Path], config: Path | None = None) -> BuildRequest:
    return read("rpi4", models, config, data=ROOT, signer="k", debug_shell=False)


def test_a_model_is_named_and_digested(tmp_path: Path) -> None:
    path = tmp_path / "My Model-2.TFLITE"
    path.write_bytes(b"abc")
    made = model_file(path)
    assert made.name == "my_model_2"
    assert made.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert made.size_bytes == 3


@given(st.text(min_size=1, max_size=60))
def test_every_model_name_is_a_c_identifier(stem: str) -> None:
    name = identifier(Path("/") / (stem.replace("/", "_").replace("\0", "_") + ".onnx"))
    assert name.isascii()
    assert name.isidentifier()
    assert name == name.lower()
    assert len(name) <= LIMIT


def test_unknown_format_E006(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError, match="E006"):
        model_file(tmp_path / "model.pb")


def test_missing_model_E002(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError, match="E002"):
        model_file(tmp_path / "model.onnx")


def test_two_models_of_one_name_E013(tmp_path: Path) -> None:
    for name in ("a.onnx", "a.tflite"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(EdgebuildError, match="E013"):
        request([tmp_path / "a.onnx", tmp_path / "a.tflite"])


def test_without_a_configuration_the_defaults_serve(tmp_path: Path) -> None:
    assert request([]).config == b"{}\n"


def test_configuration_becomes_canonical_json(tmp_path: Path) -> None:
    path = tmp_path / "mcp-edge.toml"
    path.write_text('[gateway]\nname = "ä"\n')
    assert json.loads(request([], path).config) == {"gateway": {"name": "ä"}}


def test_unknown_configuration_key_names_the_nearest_E004(tmp_path: Path) -> None:
    path = tmp_path / "mcp-edge.toml"
    path.write_text('[gateway]\nnaem = "x"\n')
    with pytest.raises(EdgebuildError, match="E004") as caught:
        request([], path)
    assert "gateway.naem" in caught.value.message
    assert "name" in str(caught.value.hint)


def test_wrong_configuration_value_E006(tmp_path: Path) -> None:
    path = tmp_path / "mcp-edge.toml"
    path.write_text("[gateway]\nname = 3\n")
    with pytest.raises(EdgebuildError, match="E006") as caught:
        request([], path)
    assert "gateway.name" in caught.value.message


def test_configuration_of_a_model_that_is_not_built_in_E004(tmp_path: Path) -> None:
    path = tmp_path / "mcp-edge.toml"
    path.write_text("[models.kwz]\n")
    (tmp_path / "kws.tflite").write_bytes(b"x")
    with pytest.raises(EdgebuildError, match="E004") as caught:
        request([tmp_path / "kws.tflite"], path)
    assert "kws" in str(caught.value.hint)


def test_canonical_does_not_depend_on_order() -> None:
    assert gateway.canonical({"a": 1, "b": 2}) == gateway.canonical({"b": 2, "a": 1})

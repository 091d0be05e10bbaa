# SPDX-License-Identifier: Apache-2.0
"""Commands that look into models and releases, and how bench hands its options on."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgebuild import cli
from edgebuild.host import tools
from edgebuild.kernels import bench, bench_count, bench_table, roofline_host
from edgebuild.pipeline import signing
from edgebuild.pipeline.password import password
from edgebuild.trust import keyless, keys

KWS = Path(__file__).resolve().parents[1] / "models" / "kws_ref_model.tflite"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_inspect_shows_a_model_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(KWS)]) == 0
    assert "DEPTHWISE_CONV_2D" in capsys.readouterr().out
    assert cli.main(["inspect", str(KWS), "--optimised"]) == 0
    assert "become" in capsys.readouterr().out
    assert cli.main(["inspect", str(KWS), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quantised"] is True
    assert cli.main(["inspect", str(KWS), "--optimised", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_model_that_is_none_is_an_error_with_a_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for suffix in (".tflite", ".onnx"):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(b"this is no model")
        assert cli.main(["inspect", str(path)]) == 1
        assert "error E2" in capsys.readouterr().err


def test_fit_prints_the_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", "--target", "rpi4", "--model", str(KWS), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["name"] == "kws_ref_model"
    assert cli.main(["fit", "--target", "rpi4", "--model", str(KWS)]) == 0
    assert "memory needed" in capsys.readouterr().out


def test_bench_hands_on_models_peers_and_threads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(models: list[Path], **options: Any) -> dict[str, Any]:
        return {
            "models": [m.name for m in models],
            **{k: options[k] for k in ("against", "threads")},
        }

    monkeypatch.setattr(bench, "run", run)
    monkeypatch.setattr(roofline_host, "measure", lambda *_: None)
    argv = ["bench", "--model", str(KWS), "--against", "litert,onnxruntime", "--threads", "2"]
    assert cli.main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "models": ["kws_ref_model.tflite"],
        "against": ["litert", "onnxruntime"],
        "threads": 2,
    }


def test_bench_of_a_target_counts_on_its_emulated_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(models: list[Path], **options: Any) -> dict[str, Any]:
        return {"cpu": options["cpu"].model, "qemu": options["qemu_cpu"]}

    monkeypatch.setattr(bench_count, "run", run)
    monkeypatch.setattr(bench_table, "counts", lambda result: f"counted {result['cpu']}")
    monkeypatch.setattr(tools, "tool", lambda *_: ["qemu"])
    assert cli.main(["bench", "--target", "rpi4"]) == 0
    assert capsys.readouterr().out == "counted cortex-a72\n"


@pytest.mark.parametrize("threads", ["0", "-1", "65", "x"])
def test_bench_refuses_impossible_threads(capsys: pytest.CaptureFixture[str], threads: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["bench", "--threads", threads])
    assert stopped.value.code == 2
    assert "--threads" in capsys.readouterr().err


def test_bench_refuses_what_a_count_cannot_honour(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--target", "rpi4", "--against", "litert"]) == 1
    assert "error E006" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["bench", "--target", "rpi4", "--host"])


def test_the_signer_is_the_one_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = signing.open_signer()
    assert isinstance(made, keys.Key)
    monkeypatch.setenv("EDGEBUILD_KEY", str(tmp_path / "config/edgebuild" / keys.DEVELOPMENT_KEY))
    named = signing.open_signer()
    assert isinstance(named, keys.Key)
    assert named.key_id() == made.key_id()
    monkeypatch.setattr(keyless, "KeylessSigner", lambda: "keyless")
    monkeypatch.setenv("EDGEBUILD_KEYLESS", "1")
    assert signing.open_signer() == "keyless"  # type: ignore[comparison-overlap]


def test_a_password_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.PASSWORD_VARIABLE, raising=False)
    assert password() is None
    monkeypatch.setenv(keys.PASSWORD_VARIABLE, "secret")
    assert password() == b"secret"


def test_an_encrypted_key_plans_and_signs_with_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pem = tmp_path / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    pem.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    pem.chmod(0o600)
    monkeypatch.delenv(keys.PASSWORD_VARIABLE, raising=False)
    argv = ["plan", "--target", "rpi4", "--model", str(KWS), "--key", str(pem), "--json"]
    assert cli.main(argv) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E503"
    monkeypatch.setenv(keys.PASSWORD_VARIABLE, "secret")
    assert cli.main(argv) == 0
    seal = json.loads(capsys.readouterr().out)["steps"][-1]
    assert len(seal["parameters"]["signer"]) == 64

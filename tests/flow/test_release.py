# SPDX-License-Identifier: Apache-2.0
"""The first release, as a user makes it: build, verify, tamper, build again."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebuild.host.paths import config_dir
from tests.flow import releases
from tests.flow.releases import ROOT, TARGETS, edgebuild

pytestmark = pytest.mark.slow

Release = Callable[[str], Path]

PUBLIC = "development-key-DO-NOT-SHIP.pub"
OFFERED = {
    "sbom.spdx.json",
    "sbom.cdx.json",
    "provenance.sigstore.json",
    "SHA256SUMS",
    "report.html",
    "report.json",
}


def verify(folder: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    return edgebuild("verify", folder, "--key", config_dir() / PUBLIC, *more)


@pytest.mark.parametrize("target", TARGETS)
def test_a_release_holds_what_the_table_promises(release: Release, target: str) -> None:
    folder = release(target)
    names = {path.name for path in folder.iterdir()}
    arch = {"x86_64": "amd64", "rpi4": "arm64", "riscv64": "riscv64"}[target]
    gateway = f"mcp-gateway-{arch}"
    images = {gateway, f"{gateway}.oci.tar", f"{target}.img.zst", f"{target}.img.bmap"}
    assert OFFERED | images <= names
    for name in names - {"provenance.sigstore.json", "SHA256SUMS.sigstore.json"}:
        assert name.endswith(".sigstore.json") or f"{name}.sigstore.json" in names


@pytest.mark.parametrize("target", TARGETS)
def test_the_executable_is_static_and_small(release: Release, target: str) -> None:
    folder = release(target)
    (gateway,) = [p for p in folder.glob("mcp-gateway-*") if p.name.count(".") == 0]
    data = gateway.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert len(data) <= 14_000_000
    count, size = int.from_bytes(data[56:58], "little"), int.from_bytes(data[54:56], "little")
    start = int.from_bytes(data[32:40], "little")
    kinds = [int.from_bytes(data[start + i * size :][:4], "little") for i in range(count)]
    assert 3 not in kinds, "PT_INTERP: it needs a loader"
    assert (folder / f"{target}.img.zst").stat().st_size <= 60_000_000


@pytest.mark.parametrize("target", TARGETS)
def test_it_verifies_and_any_flipped_byte_does_not(
    release: Release, target: str, tmp_path: Path
) -> None:
    good = verify(release(target))
    assert good.returncode == 0, good.stdout + good.stderr
    copy = tmp_path / target
    shutil.copytree(release(target), copy)
    for path in sorted(copy.iterdir()):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        bad = verify(copy)
        assert bad.returncode == 3, f"{path.name}: {bad.stdout}"
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert verify(copy).returncode == 0
    (copy / "extra").write_bytes(b"")
    assert verify(copy).returncode == 3
    (copy / "extra").unlink()
    (copy / "report.json").unlink()
    assert verify(copy).returncode == 3


def test_a_policy_names_target_and_models(release: Release, tmp_path: Path) -> None:
    folder = release("rpi4")
    sha256 = json.loads((folder / "report.json").read_text())["models"][0]["digest"]
    policy = tmp_path / "policy.toml"
    policy.write_text(f'target = "rpi4"\nmodels = ["{sha256.removeprefix("sha256:")}"]\n')
    assert verify(folder, "--policy", policy).returncode == 0
    policy.write_text('models = ["' + "0" * 64 + '"]\n')
    assert verify(folder, "--policy", policy).returncode == 3


def test_nothing_changed_nothing_done(release: Release, run_folder: Path) -> None:
    folder = release("rpi4")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = releases.build("rpi4", run_folder / "dist")
    assert again["steps"] == []
    assert not again["changed"]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_model_rebuilds_neither_runtime_nor_firmware_base(
    release: Release, run_folder: Path, tmp_path: Path
) -> None:
    release("rpi4")
    model = tmp_path / "other.tflite"
    shutil.copyfile(ROOT / "tests/models/ad01_int8.tflite", model)
    done = edgebuild("--json", "--target", "rpi4", "--model", model, "--out", tmp_path / "dist")
    assert done.returncode == 0, done.stderr
    steps = releases.step_names(json.loads(done.stdout), "done")
    assert "bundle-other" in steps
    assert "runtime" not in steps
    assert "firmware-base" not in steps


def test_two_builds_in_different_places_are_equal_byte_by_byte(
    release: Release, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "a rather different place"
    settings = {"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"}
    # a fresh cache of steps and compilers; downloads are taken from the common one
    script = f'umask 0077; exec "$0" "$@" --rebuild -j1 --offline --out "{elsewhere}"'
    other = releases.edgebuild_under(script, "rpi4", env=settings)
    assert other.returncode == 0, other.stdout + other.stderr
    assert releases.differing(release("rpi4"), elsewhere / "rpi4") == []


def test_a_failed_build_leaves_the_previous_release(release: Release, run_folder: Path) -> None:
    folder = release("riscv64")
    before = releases.digests(folder)
    broken = run_folder / "ad01_int8.tflite"
    broken.write_bytes((ROOT / "tests/models/ad01_int8.tflite").read_bytes()[:5000])
    done = edgebuild("--target", "riscv64", "--model", broken, "--out", run_folder / "dist")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error E2" in done.stderr
    assert releases.digests(folder) == before


def test_a_model_that_does_not_fit_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    small = tmp_path / "small.toml"
    text = (ROOT / "targets/rpi4.toml").read_text()
    small.write_text(text.replace("size_bytes = 1073741824", "size_bytes = 140000000"))
    done = edgebuild(
        "--target", small, "--model", ROOT / "tests/models/ad01_int8.tflite", "--out", tmp_path
    )
    assert done.returncode == 4
    assert "error E601" in done.stderr
    assert "weights" in done.stderr
    assert not (tmp_path / ".work/small/runtime").exists()


def test_a_configuration_that_the_gateway_refuses_is_found_at_the_desk_E016(
    tmp_path: Path,
) -> None:
    config = tmp_path / "mcp-edge.toml"
    config.write_text('[models.ad01_int8]\ntask = "classify"\nlabels = ["only", "two"]\n')
    model = ROOT / "tests/models/ad01_int8.tflite"
    done = edgebuild(
        "--target", "rpi4", "--model", model, "--config", config, "--out", tmp_path / "dist"
    )
    assert done.returncode == 1
    assert "error E016: model 'ad01_int8' has 640 classes but 2 labels" in done.stderr


def test_licences_and_fit_of_a_release(release: Release) -> None:
    shown = edgebuild("inspect", "--licences", release("rpi4"))
    assert shown.returncode == 0
    assert "LGPL-2.1-or-later" in shown.stdout
    fit = edgebuild("fit", "--target", "rpi4", "--json")
    assert json.loads(fit.stdout)["memory_needed_bytes"] > 0

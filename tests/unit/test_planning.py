# SPDX-License-Identifier: Apache-2.0
"""Fit and plan: pure functions of the request, the lock and the tool's digests."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError
from edgebuild.model.lock import Lock, LockedFile, LockedPackage
from edgebuild.model.plan import Plan, plan_from_json
from edgebuild.model.profile import Profile
from edgebuild.model.request import BuildRequest, ModelFile
from edgebuild.planning import fit as fits
from edgebuild.planning.plan import artifacts, executable, groups, plan
from tests.unit.bench_helpers import OPERATOR

TARGETS = Path(__file__).resolve().parents[2] / "targets"


def profile(name: str = "rpi4") -> Profile:
    return profiles.load(name, TARGETS)


def facts(weights: int = 50_000, arena: int = 20_000) -> dict[str, Any]:
    return {
        "name": "kws",
        "weights_bytes": weights,
        "arena_bytes": arena,
        "operators": [{**OPERATOR, "name": "op"}],
    }


def test_a_small_model_fits_and_its_time_is_positive() -> None:
    result = fits.require(fits.fit([facts()], profile()))
    assert result.models[0].time_s > 0
    assert result.memory_needed_bytes == result.gateway_bytes + 70_000


def test_too_little_memory_shows_the_arithmetic_E601() -> None:
    result = fits.fit([facts(weights=2 << 30)], profile())
    with pytest.raises(EdgebuildError, match="E601") as caught:
        fits.require(result)
    assert "weights 2048.000 MiB" in str(caught.value.where)
    assert caught.value.kind.exit_status == 4


def test_too_little_storage_E602() -> None:
    small = dataclasses.replace(
        profile(), storage=dataclasses.replace(profile().storage, size_bytes=1 << 20)
    )
    with pytest.raises(EdgebuildError, match="E602"):
        fits.require(fits.fit([facts()], small))


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_larger_model_never_needs_less(first: int, more: int) -> None:
    one = fits.fit([facts(weights=first)], profile())
    two = fits.fit([facts(weights=first + more)], profile())
    assert two.memory_needed_bytes - one.memory_needed_bytes == more
    assert two.storage_needed_bytes >= one.storage_needed_bytes


def lock() -> Lock:
    file = LockedFile(path="pool/a.deb", sha256="0" * 64, size_bytes=1, purl="pkg:deb/debian/a@1")
    package = LockedPackage(
        name="a",
        version="1",
        architecture="arm64",
        source="a",
        source_version="1",
        files=(file,),
    )
    return Lock(
        suite="trixie",
        archive_date="",
        release_sha256="",
        signed_by=(),
        groups={"runtime-arm64": (package,)},
        digest="1" * 64,
    )


def make(name: str = "rpi4", model: str = "kws", **changes: Any) -> Plan:
    file = ModelFile(name=model, path=Path(f"/x/{model}.tflite"), sha256="2" * 64, size_bytes=1)
    request = BuildRequest(profile=profile(name), models=(file,), config=b"{}\n", signer="k")
    tools = defaultdict(lambda: "code")
    return plan(dataclasses.replace(request, **changes), lock(), tools, "0.1.0")


@pytest.mark.parametrize("name", ["x86_64", "rpi4", "riscv64"])
def test_every_source_is_an_input_or_an_output_of_an_earlier_step(name: str) -> None:
    planned = make(name)
    known = set(planned.inputs)
    for step in planned.steps:
        assert set(step.sources) | set(step.after) <= known, step.name
        known |= set(step.outputs)


def test_no_two_steps_write_one_file() -> None:
    outputs = [path for step in make().steps for path in step.outputs]
    assert len(outputs) == len(set(outputs))


def test_the_plan_names_no_path_of_this_machine() -> None:
    assert "/x/" not in json.dumps(make().to_json())


def test_equal_requests_give_equal_plans_and_survive_json() -> None:
    assert make() == make()
    assert plan_from_json(json.loads(json.dumps(make().to_json()))).to_json() == make().to_json()


def test_another_model_changes_neither_runtime_nor_downloads() -> None:
    one, two = make(), make(model="other")
    for name in ("runtime", "fetch-runtime-arm64"):
        assert one.step(name) == two.step(name)


def test_the_debug_shell_changes_the_firmware_step() -> None:
    assert make().step("firmware-base") != make(debug_shell=True).step("firmware-base")


def test_outputs_of_the_profile_decide_the_images() -> None:
    only = dataclasses.replace(profile(), outputs=("binary",))
    assert artifacts(only)[0] == executable(only) == "mcp-gateway-arm64"
    assert not any("linux" in group for group in groups(only))
    assert "firmware" not in [step.name for step in make(profile=only).steps]


def test_an_unknown_step_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        make().step("nothing")

# SPDX-License-Identifier: Apache-2.0
"""The plan of one build: which steps, from what, to what.

Pure: the same request, lock and tool digests give the same plan. Paths are relative to the work
folder; every input is named by its digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgebuild.model.lock import Lock
from edgebuild.model.plan import Plan, Step
from edgebuild.model.profile import Profile
from edgebuild.model.request import BuildRequest, ModelFile

BASE_FILES = tuple(f"base/{name}" for name in ("base.json", "boot.zst", "data.zst", "root.tar"))

HOST = "amd64"  # the CPU of the machines that the locked tools run on

CHECK_SEED = 20_240_229

RUNTIME_FILES = tuple(
    f"runtime/{name}"
    for name in ("runtime.o", "edge.h", "link.json", "licences.json", "licences.txt")
)


def plan(request: BuildRequest, lock: Lock, tools: Mapping[str, str], version: str) -> Plan:
    """All steps of a build of ``request``. ``tools`` maps a kind of step to its code's digest."""
    profile = request.profile
    steps = [
        *(_inspect(model, profile) for model in request.models),
        _fit(request),
        _configuration(request),
        *(_fetch(group, lock) for group in groups(profile, debug_shell=request.debug_shell)),
        *(step for model in request.models for step in _kernels(model, profile)),
        _runtime(profile),
        *_link(request),
        *_images(request),
        *_release(request),
    ]
    return Plan(
        target=profile.name,
        version=version,
        inputs=_inputs(request),
        lock=f"sha256:{lock.digest}",
        steps=tuple(_with_code(step, tools) for step in steps),
    )


def groups(profile: Profile, *, debug_shell: bool = False) -> tuple[str, ...]:
    """The groups of the lock that a build for ``profile`` needs, in order of first use."""
    arch = profile.debian_arch
    wanted = [f"runtime-{arch}", "sources", f"python-host-{HOST}"]
    if profile.emulator.user:
        wanted.append(f"tools-{profile.emulator.user}-{HOST}")
    if "firmware" in profile.outputs:
        wanted += firmware_groups(profile, debug_shell=debug_shell)
    elif "oci" in profile.outputs:
        wanted.append(f"tools-image-{HOST}")
    return tuple(wanted)


def firmware_groups(profile: Profile, *, debug_shell: bool) -> tuple[str, ...]:
    """The groups that the firmware image is made from and with."""
    boot = {"raspberrypi": "raspi-firmware", "uefi": f"boot-{profile.debian_arch}"}
    wanted = [profile.boot.kernel, "dhcp", f"tools-image-{HOST}", boot[profile.boot.method]]
    if debug_shell:
        wanted.append(f"debug-shell-{profile.debian_arch}")
    return tuple(wanted)


def executable(profile: Profile) -> str:
    """The executable's name in the release."""
    return f"mcp-gateway-{profile.debian_arch}"


def artifacts(profile: Profile) -> tuple[str, ...]:
    """The images of a release for ``profile``, in the order of its ``outputs``."""
    names = {
        "binary": (executable(profile), f"{executable(profile)}.relink.tar.zst"),
        "oci": (f"{executable(profile)}.oci.tar",),
        "firmware": (f"{profile.name}.img.zst", f"{profile.name}.img.bmap"),
    }
    return tuple(name for output in profile.outputs for name in names[output])


def cpu_parameters(profile: Profile) -> dict[str, Any]:
    """What kernels and the compiler see of the CPU, as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(profile.cpu)))
    return values


def _with_code(step: Step, tools: Mapping[str, str]) -> Step:
    return dataclasses.replace(step, parameters={**step.parameters, "code": tools[step.kind]})


def _inputs(request: BuildRequest) -> dict[str, str]:
    inputs = {_model_path(m): f"sha256:{m.sha256}" for m in request.models}
    inputs["inputs/mcp-edge.json"] = f"sha256:{hashlib.sha256(request.config).hexdigest()}"
    profile = profile_bytes(request.profile)
    inputs["inputs/profile.json"] = f"sha256:{hashlib.sha256(profile).hexdigest()}"
    return inputs


def profile_bytes(profile: Profile) -> bytes:
    """The profile as canonical JSON."""
    return json.dumps(dataclasses.asdict(profile), sort_keys=True, indent=1).encode() + b"\n"


def _model_path(model: ModelFile) -> str:
    return f"inputs/{model.name}{model.path.suffix.lower()}"


def _inspect(model: ModelFile, profile: Profile) -> Step:
    return Step(
        name=f"inspect-{model.name}",
        kind="inspect",
        title=f"read {model.path.name}",
        sources=(_model_path(model),),
        outputs=(f"facts/{model.name}.json",),
        parameters={"model": model.name, "cpu": cpu_parameters(profile)},
    )


def _fit(request: BuildRequest) -> Step:
    return Step(
        name="fit",
        kind="fit",
        title="check that it fits",
        sources=("inputs/profile.json", *(f"facts/{m.name}.json" for m in request.models)),
        outputs=("fit.json",),
    )


def _configuration(request: BuildRequest) -> Step:
    return Step(
        name="configuration",
        kind="configuration",
        title="check that the gateway would start",
        sources=("inputs/mcp-edge.json", *(f"facts/{m.name}.json" for m in request.models)),
        outputs=("configuration.json",),
    )


def _fetch(group: str, lock: Lock) -> Step:
    packages = lock.groups.get(group, ())
    files = [file for package in packages for file in package.files]
    return Step(
        name=f"fetch-{group}",
        kind="fetch",
        title=f"fetch {group}: {len(files)} files, {_mb(f.size_bytes for f in files)} MB",
        sources=(),
        outputs=(f"fetch/{group}.json",),
        parameters={"group": group, "digest": group_digest(lock, group)},
        after=("fit.json",),
        shared=False,
    )


def group_digest(lock: Lock, group: str) -> str:
    """One digest for all files of a group."""
    files = sorted(f.sha256 for package in lock.groups.get(group, ()) for f in package.files)
    return "sha256:" + hashlib.sha256("\n".join(files).encode()).hexdigest()


def _mb(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e6:.1f}"


def _fetched(*names: str) -> tuple[str, ...]:
    return tuple(f"fetch/{name}.json" for name in names)


def bundle_files(name: str) -> tuple[str, str, str]:
    """The object, header and card of a bundle."""
    folder = f"bundles/{name}/{name}"
    return f"{folder}.o", f"{folder}.h", f"{folder}.json"


def _kernels(model: ModelFile, profile: Profile) -> list[Step]:
    compiled = Step(
        name=f"bundle-{model.name}",
        kind="bundle",
        title=f"compile {model.name} for {profile.cpu.model}",
        sources=(_model_path(model),),
        outputs=bundle_files(model.name),
        parameters={"model": model.name, "cpu": cpu_parameters(profile)},
        after=("fit.json", "configuration.json"),
    )
    emulated = _fetched(f"tools-{profile.emulator.user}-{HOST}") if profile.emulator.user else ()
    checked = Step(
        name=f"check-{model.name}",
        kind="check",
        title=f"run {model.name} and compare with the reference",
        sources=(_model_path(model), *bundle_files(model.name), *emulated),
        outputs=(f"check/{model.name}.json",),
        parameters={
            "model": model.name,
            "cpu": cpu_parameters(profile),
            "emulator": profile.emulator.user,
            "emulator_cpu": profile.emulator.cpu,
            "seed": CHECK_SEED,
        },
    )
    return [compiled, checked]


def _runtime(profile: Profile) -> Step:
    arch = profile.debian_arch
    return Step(
        name="runtime",
        kind="runtime",
        title=f"compile the gateway for {profile.cpu.model}",
        sources=_fetched(f"runtime-{arch}", "sources", f"python-host-{HOST}"),
        outputs=RUNTIME_FILES,
        parameters={"architecture": arch, "cpu": cpu_parameters(profile)},
        after=("configuration.json",),
    )


def _link(request: BuildRequest) -> list[Step]:
    """The executable; and its objects, for whoever wants to link it with another C library."""
    profile = request.profile
    bundles = [path for m in request.models for path in bundle_files(m.name)]
    sources = (
        "inputs/mcp-edge.json",
        *RUNTIME_FILES,
        *_fetched(f"runtime-{profile.debian_arch}"),
        *bundles,
    )
    parameters = {
        "architecture": profile.debian_arch,
        "models": [m.name for m in request.models],
    }
    link = Step(
        name="link",
        kind="link",
        title=f"link {executable(profile)}",
        sources=sources,
        outputs=(f"images/{executable(profile)}",),
        parameters=parameters,
    )
    relink = Step(
        name="relink",
        kind="relink",
        title="pack what linking it again needs",
        sources=sources,
        outputs=(f"images/{executable(profile)}.relink.tar.zst",),
        parameters=parameters,
    )
    return [link, relink]


def _images(request: BuildRequest) -> list[Step]:
    profile, steps = request.profile, []
    if "oci" in profile.outputs:
        steps.append(
            Step(
                name="oci",
                kind="oci",
                title="assemble the container image",
                sources=(
                    f"images/{executable(profile)}",
                    "inputs/profile.json",
                    *_fetched(f"tools-image-{HOST}"),
                ),
                outputs=(f"images/{executable(profile)}.oci.tar",),
            )
        )
    if "firmware" in profile.outputs:
        steps += _firmware(request)
    return steps


def _firmware(request: BuildRequest) -> list[Step]:
    """The part of the image that no model changes, and the image."""
    profile = request.profile
    base = Step(
        name="firmware-base",
        kind="base",
        title=f"assemble what {profile.name} boots from",
        sources=(
            "inputs/profile.json",
            *_fetched(*firmware_groups(profile, debug_shell=request.debug_shell)),
        ),
        outputs=BASE_FILES,
        parameters={"debug_shell": request.debug_shell},
    )
    image = Step(
        name="firmware",
        kind="firmware",
        title="assemble the firmware image",
        sources=(
            *BASE_FILES,
            f"images/{executable(profile)}",
            "inputs/mcp-edge.json",
            "inputs/profile.json",
            *_fetched(f"tools-image-{HOST}"),
        ),
        outputs=(
            f"images/{profile.name}.img.zst",
            f"images/{profile.name}.img.bmap",
            "payload.json",
        ),
    )
    return [base, image]


def _release(request: BuildRequest) -> list[Step]:
    profile = request.profile
    images = [f"images/{name}" for name in artifacts(profile)]
    cards = [bundle_files(m.name)[2] for m in request.models]
    payload = ["payload.json"] if "firmware" in profile.outputs else []
    documents = Step(
        name="sbom",
        kind="sbom",
        title="list every package, source and model inside",
        sources=("runtime/licences.json", "inputs/mcp-edge.json", *cards, *payload, *images),
        outputs=("images/sbom.spdx.json", "images/sbom.cdx.json"),
        parameters={"models": [m.name for m in request.models]},
    )
    report = Step(
        name="report",
        kind="report",
        title="draw the report",
        sources=(
            "fit.json",
            "inputs/mcp-edge.json",
            "inputs/profile.json",
            *cards,
            *payload,
            *images,
            *(f"check/{m.name}.json" for m in request.models),
        ),
        outputs=("images/report.html", "images/report.json"),
        parameters={"models": [m.name for m in request.models]},
    )
    seal = Step(
        name="seal",
        kind="seal",
        title="sign and attest",
        sources=(*images, *documents.outputs, *report.outputs),
        outputs=("release.json",),
        parameters={"signer": request.signer, "builder": request.builder},
        shared=False,
    )
    return [documents, report, seal]

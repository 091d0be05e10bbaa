# SPDX-License-Identifier: Apache-2.0
"""The chapters of a build: one function for each kind of step.

Each takes what its step names from the work folder and writes what it promises into an empty
one. Imports are inside the functions: a step pays for its own chapter only.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgebuild.errors import EdgebuildError
from edgebuild.errors.general import GATEWAY_REFUSES
from edgebuild.host.files import digest
from edgebuild.host.paths import data_dir
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.pipeline.context import Context
from edgebuild.planning.plan import bundle_files, executable


def inspect(c: Context) -> None:
    """Read the model and write down what the fit needs to know."""
    from edgebuild.kernels import bundle as kernels

    name = c.step.parameters["model"]
    c.write(c.step.outputs[0], kernels.plan(c.work / c.step.sources[0], c.cpu(), name=name))


def fit(c: Context) -> None:
    """Refuse what cannot fit, with the arithmetic."""
    from edgebuild.planning import fit as fits

    facts = [c.json(path) for path in c.step.sources[1:]]
    c.write("fit.json", fits.require(fits.fit(facts, c.profile())).to_json())


def configuration(c: Context) -> None:
    """Ask the gateway's own start-up code whether it would start. Raises E016."""
    from edgebuild.host import process

    check = data_dir() / "runtime" / "check.py"
    files = [c.work / path for path in c.step.sources]
    try:
        process.run([sys.executable, "-B", check, *files], what="check the configuration")
    except EdgebuildError as error:
        said = [line.strip() for line in error.message.splitlines()[1:]]
        told = dict(
            line.split(": ", 1) for line in said[1:] if line.startswith(("where:", "hint:"))
        )
        raise GATEWAY_REFUSES(
            said[0], where=told.get("where", "mcp-edge.toml"), hint=told.get("hint")
        ) from error
    c.write("configuration.json", {"sources": {path.name: digest(path) for path in files}})


def fetch(c: Context) -> None:
    """Fetch and verify one group of the lock."""
    from edgebuild.host import lockfile

    group = c.step.parameters["group"]
    packages = lockfile.group(c.lock, group)
    c.store.prefetch(group, packages)
    listing = {file.path: file.sha256 for package in packages for file in package.files}
    c.write(c.step.outputs[0], listing)


def bundle(c: Context) -> None:
    """Compile one model, and look at every instruction that came out."""
    from edgebuild.kernels import bundle as kernels
    from edgebuild.kernels import disassembly

    name = c.step.parameters["model"]
    folder = c.out / "bundles" / name
    kernels.compile(c.work / c.step.sources[0], c.cpu(), folder, name=name)
    disassembly.check(folder / f"{name}.o", c.cpu())


def check(c: Context) -> None:
    """Run the compiled model and compare it with the reference."""
    from edgebuild.host import tools
    from edgebuild.kernels import check as checks

    parameters = c.step.parameters
    emulator: list[str] = []  # none: the machine at hand runs it
    if parameters["emulator"]:
        emulator = tools.tool(c.store, c.lock, parameters["emulator"])
        emulator += ["-cpu", parameters["emulator_cpu"]]
    result = checks.check(
        c.work / c.step.sources[0],
        c.work / "bundles" / parameters["model"],
        c.cpu(),
        seed=parameters["seed"],
        emulator=emulator,
    )
    c.write(c.step.outputs[0], result)


def runtime(c: Context) -> None:
    """Compile what does not depend on a model."""
    from edgebuild.runtimes import objects

    objects.build(c.store, c.lock, c.step.parameters["architecture"], c.cpu(), c.out / "runtime")


def link(c: Context) -> None:
    """Link the executable."""
    from edgebuild.runtimes import link as linker

    linker.link(*_link_inputs(c))


def relink(c: Context) -> None:
    """Pack what linking it again needs."""
    from edgebuild.runtimes import relink as linker

    linker.write(*_link_inputs(c))


def _link_inputs(c: Context) -> tuple[Store, Lock, str, Path, list[Path], Path, Path]:
    (c.out / "images").mkdir()
    return (
        c.store,
        c.lock,
        c.step.parameters["architecture"],
        c.work / "runtime",
        [c.work / "bundles" / name for name in c.step.parameters["models"]],
        c.work / "inputs/mcp-edge.json",
        c.out / c.step.outputs[0],
    )


def oci(c: Context) -> None:
    """Assemble the container image."""
    from edgebuild.images import oci as images

    profile = c.profile()
    (c.out / "images").mkdir()
    images.build(
        c.store,
        c.lock,
        c.work / c.step.sources[0],
        profile,
        c.out / c.step.outputs[0],
        labels={"org.opencontainers.image.version": c.plan.version},
    )


def base(c: Context) -> None:
    """Assemble the part of the firmware that no model changes."""
    from edgebuild.images import base as images

    images.build(
        c.store,
        c.lock,
        c.profile(),
        c.out / "base",
        allow_shell=c.step.parameters["debug_shell"],
    )


def firmware(c: Context) -> None:
    """Assemble the firmware image."""
    from edgebuild.images import firmware as images

    profile = c.profile()
    (c.out / "images").mkdir()
    payload = images.build(
        c.store,
        c.lock,
        profile,
        c.work / "base",
        c.work / "images" / executable(profile),
        config=c.work / "inputs/mcp-edge.json",
        image=c.out / c.step.outputs[0],
        block_map=c.out / c.step.outputs[1],
    )
    c.write("payload.json", payload)


def sbom(c: Context) -> None:
    """List what is inside, in both formats."""
    from edgebuild.trust import cyclonedx, inventory, spdx

    artifacts = {path.name: digest(path) for path in _images(c)}
    chapters = inventory.Chapters(
        linked=c.json("runtime/licences.json"),
        cards=_cards(c),
        payload=c.json("payload.json") if "payload.json" in c.step.sources else None,
        holders=tuple(name for name in artifacts if not name.endswith(".bmap")),
        image=next((name for name in artifacts if name.endswith(".img.zst")), ""),
    )
    contents = inventory.contents(
        c.lock, chapters, target=c.plan.target, version=c.plan.version, artifacts=artifacts
    )
    (c.out / "images").mkdir()
    (c.out / "images/sbom.spdx.json").write_bytes(spdx.document(contents))
    (c.out / "images/sbom.cdx.json").write_bytes(cyclonedx.document(contents))


def _images(c: Context) -> list[Path]:
    return [c.work / path for path in c.step.sources if path.startswith("images/")]


def _cards(c: Context) -> list[dict[str, Any]]:
    """The model cards, with what only the user knows of a model: its licence."""
    configured = c.json("inputs/mcp-edge.json").get("models", {})
    return [
        c.json(bundle_files(name)[2]) | _licence(configured.get(name, {}))
        for name in c.step.parameters["models"]
    ]


def _licence(table: Mapping[str, Any]) -> dict[str, Any]:
    return {"licence": table["licence"]} if "licence" in table else {}


def report(c: Context) -> None:
    """Draw the report."""
    from edgebuild.trust import report as facts
    from edgebuild.trust import report_page

    profile = c.profile()
    names = c.step.parameters["models"]
    (c.out / "images").mkdir()
    report_page.write(
        facts.Facts(
            profile=profile,
            version=c.plan.version,
            fit=c.json("fit.json"),
            cards=_cards(c),
            checks={name: c.json(f"check/{name}.json") for name in names},
            payload=c.json("payload.json") if "payload.json" in c.step.sources else None,
            artifacts=_images(c),
            executable=c.work / "images" / executable(profile),
        ),
        c.out / "images/report.json",
        c.out / "images/report.html",
    )


def seal(c: Context) -> None:
    """Sign every artifact, attest how they were made, and verify the whole as a user would."""
    from edgebuild.pipeline import signing
    from edgebuild.trust import provenance, release

    folder = c.out / "release"
    folder.mkdir()
    for path in _images(c):
        shutil.copyfile(path, folder / path.name)
    wheels = provenance.locked_wheels((data_dir() / "locks/python.txt").read_text(encoding="utf-8"))
    builder = c.step.parameters["builder"] or provenance.LOCAL_BUILDER
    signer = signing.open_signer()
    release.seal(
        folder,
        signer,
        lambda subjects: provenance.statement(
            c.plan, c.lock, subjects, wheels=wheels, builder=builder
        ),
    )
    signing.check(folder, signer)
    c.write("release.json", {"files": {p.name: digest(p) for p in sorted(folder.iterdir())}})


CHAPTERS: Mapping[str, Callable[[Context], None]] = {
    "inspect": inspect,
    "fit": fit,
    "configuration": configuration,
    "fetch": fetch,
    "bundle": bundle,
    "check": check,
    "runtime": runtime,
    "link": link,
    "relink": relink,
    "oci": oci,
    "base": base,
    "firmware": firmware,
    "sbom": sbom,
    "report": report,
    "seal": seal,
}

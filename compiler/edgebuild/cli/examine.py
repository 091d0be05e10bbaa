# SPDX-License-Identifier: Apache-2.0
"""``targets``, ``fit``, ``inspect`` and ``bench``: questions that build nothing."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from edgebuild.cli import build, show
from edgebuild.config import profiles
from edgebuild.config.request import model_file
from edgebuild.errors.general import NO_OUTPUT
from edgebuild.host import paths


def targets(arguments: argparse.Namespace) -> None:
    """List the targets that edgebuild ships."""
    folder = paths.data_dir() / "targets"
    known = [profiles.load(name, folder) for name in profiles.names(folder)]
    if arguments.json:
        print(json.dumps([dataclasses.asdict(profile) for profile in known], indent=1))
        return
    rows = [
        (p.name, p.title, p.cpu.model, str(p.cpu.cores), p.boot.method, ", ".join(p.outputs))
        for p in known
    ]
    print(show.table(("target", "what", "CPU", "cores", "boot", "outputs"), rows, right=(3,)))


def fit(arguments: argparse.Namespace) -> None:
    """Print the fit; exit with status 4 if it does not fit."""
    from edgebuild.kernels import bundle
    from edgebuild.planning import fit as fits

    request = build.read(arguments)
    cards = [bundle.plan(m.path, request.profile.cpu, name=m.name) for m in request.models]
    result = fits.fit(cards, request.profile)
    if arguments.json:
        print(json.dumps(result.to_json(), indent=1))
    else:
        show.fit(result)
    fits.require(result)


def inspect(arguments: argparse.Namespace) -> None:
    """Show what is inside a model, or the licences of a release."""
    if arguments.what.is_dir() or arguments.licences:
        licences(arguments.what, as_json=arguments.json)
        return
    from edgebuild.kernels import importer
    from edgebuild.kernels import inspect as facts

    model = model_file(arguments.what)
    graph = importer.load(model.path, model.name)
    if arguments.optimised and arguments.json:
        print(json.dumps(facts.optimised(graph), indent=1))
    elif arguments.optimised:
        print(facts.optimised_table(graph))
    elif arguments.json:
        print(json.dumps(facts.describe(graph), indent=1))
    else:
        print(facts.table(graph))


def licences(release: Path, *, as_json: bool) -> None:
    """What is inside a release, with licences, from its SBOM. Raises E014."""
    sbom = release / "sbom.spdx.json"
    try:
        packages: list[dict[str, Any]] = json.loads(sbom.read_bytes())["packages"]
    except (OSError, ValueError, KeyError) as error:
        raise NO_OUTPUT("this is no release of edgebuild", where=str(release)) from error
    rows = sorted(
        (p["name"], p.get("versionInfo", ""), p.get("licenseDeclared", "NOASSERTION"))
        for p in packages
    )
    if as_json:
        print(json.dumps([dict(zip(("name", "version", "licence"), r, strict=True)) for r in rows]))
    else:
        print(show.table(("name", "version", "licence"), rows))

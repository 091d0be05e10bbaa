# SPDX-License-Identifier: Apache-2.0
"""``verify`` and ``run``: what is done with a release."""

from __future__ import annotations

import argparse
import dataclasses
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgebuild.config.decode import decode
from edgebuild.errors.general import INVALID_VALUE, NO_OUTPUT
from edgebuild.host import files
from edgebuild.model.profile import Profile

if TYPE_CHECKING:
    from edgebuild.trust.bundle import Verifier

ANSWER_SECONDS = 180.0  # a slow machine without hardware virtualisation, with room


def verify(arguments: argparse.Namespace) -> None:
    """Check a release and say what was checked; exit with status 3 unless all is well."""
    from edgebuild.trust import policy
    from edgebuild.trust.verify import verify as check

    required = policy.load(arguments.policy) if arguments.policy else None
    report = check(arguments.release, _verifier(arguments), required)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(report) | {"ok": report.ok}, indent=1))
    else:
        for row in report.checks:
            print(f"  {'✓' if row.ok else '✗'}  {row.name}: {row.detail}")
    report.require()


def _verifier(arguments: argparse.Namespace) -> Verifier:
    """Whom to trust: the owner of a key, or an identity of a CI system."""
    if arguments.identity and arguments.issuer:
        from edgebuild.trust import keyless

        return keyless.KeylessVerifier(arguments.identity, arguments.issuer)
    if not arguments.key:
        raise INVALID_VALUE(
            "no --key was given",
            hint="the public key of whom you trust, as PEM; or --identity and --issuer",
        )
    from edgebuild.trust import bundle, keys

    return bundle.KeyVerifier(keys.load_public(arguments.key))


def run(arguments: argparse.Namespace) -> None:
    """Boot a release in QEMU; stop it on Ctrl-C."""
    from edgebuild.cli.build import open_store, read_lock
    from edgebuild.lab import run as lab

    profile = released_profile(arguments.release)
    require_image(arguments.release, f"{profile.name}.img.zst")
    store = open_store(arguments.mirror, offline=arguments.offline)
    console = print if arguments.console or arguments.board else None
    machine = lab.run(
        arguments.release,
        profile,
        store,
        read_lock(),
        port=arguments.port or free_port(),
        board=arguments.board,
        console=console,
    )
    with machine as booted:
        if not arguments.board:
            booted.wait_for_answer("/health", ANSWER_SECONDS)
            _announce(arguments, booted.address, booted.accelerator, booted.answered_s or 0.0)
        try:
            booted.wait()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)


def _announce(
    arguments: argparse.Namespace, address: str, accelerator: str, seconds: float
) -> None:
    if arguments.json:
        facts = {"address": address, "mcp": f"{address}/mcp", "accelerator": accelerator}
        print(json.dumps(facts | {"seconds": round(seconds, 2)}), flush=True)
        return
    print(f"answers after {seconds:.1f} s ({accelerator})")
    print(f"  MCP      {address}/mcp")
    print(f"  health   {address}/health")
    print("Ctrl-C stops it", flush=True)


def released_profile(release: Path) -> Profile:
    """The profile that a release was built for, from its report. Raises E014."""
    report = release / "report.json"
    try:
        table = json.loads(report.read_bytes())["profile"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NO_OUTPUT("this is no release of edgebuild", where=str(release)) from error
    return decode(Profile, table, where=str(report))


def require_image(release: Path, name: str) -> None:
    """Refuse an image that is not the one that SHA256SUMS lists. Raises E014."""
    try:
        listed = (release / "SHA256SUMS").read_text(encoding="ascii").splitlines()
        found = f"{files.digest(release / name)}  {name}"
    except (OSError, ValueError) as error:
        raise NO_OUTPUT(f"there is no {name} to boot", where=str(release)) from error
    if found not in listed:
        raise NO_OUTPUT(
            f"{name} is not what SHA256SUMS says",
            where=str(release),
            hint="build or download it again, and check it with `edgebuild verify`",
        )


def free_port() -> int:
    """A loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

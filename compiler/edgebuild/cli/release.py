# SPDX-License-Identifier: Apache-2.0
"""``verify`` and ``run``: what is done with a release."""

from __future__ import annotations

import argparse
import dataclasses
import json

from edgebuild.errors.general import INVALID_VALUE


def verify(arguments: argparse.Namespace) -> None:
    """Check a release and say what was checked; exit with status 3 unless all is well."""
    from edgebuild.trust import bundle, keys, policy
    from edgebuild.trust import verify as trust

    if not arguments.key:
        raise INVALID_VALUE("no --key was given", hint="the public key of whom you trust, as PEM")
    required = policy.load(arguments.policy) if arguments.policy else None
    verifier = bundle.KeyVerifier(keys.load_public(arguments.key))
    report = trust.verify(arguments.release, verifier, required)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(report) | {"ok": report.ok}, indent=1))
    else:
        for check in report.checks:
            print(f"  {'✓' if check.ok else '✗'}  {check.name}: {check.detail}")
    report.require()


def run(arguments: argparse.Namespace) -> None:
    """Boot a release in QEMU."""

# SPDX-License-Identifier: Apache-2.0
"""What a set of packages depends on (Debian Policy 7): Depends and Pre-Depends, transitively."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from edgebuild.errors.inputs import UNRESOLVED
from edgebuild.trust import debversion
from edgebuild.trust.archive import Index

_ATOM = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?"  # a name, perhaps with :any
    r"\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?\s*"
)
Atom = tuple[str, str, str]  # name, relation or '', version or ''


def clauses(field: str) -> list[list[Atom]]:
    """A dependency field: all clauses must hold, one alternative of each. Raises ValueError."""
    parsed = []
    for clause in field.replace("\n", " ").split(","):
        if not clause.strip():
            continue
        atoms = []
        for alternative in clause.split("|"):
            match = _ATOM.fullmatch(alternative)
            if not match:
                raise ValueError(f"no dependency: {alternative.strip()!r}")
            atoms.append((match[1], match[2] or "", match[3] or ""))
        parsed.append(atoms)
    return parsed


def resolve(index: Index, wanted: Iterable[str], exclude: Collection[str]) -> list[str]:
    """The names of ``wanted`` and all they need, sorted.

    Of alternatives, one that is taken already wins, else the first that exists. A clause that
    names an excluded package counts as met. Raises E117.
    """
    taken = set(wanted)
    pending = sorted(taken)
    for name in pending:
        if name not in index.packages:
            raise UNRESOLVED(f"the archive has no package '{name}'", where="locks/inputs.toml")
    while pending:
        name = pending.pop(0)
        fields = index.packages[name]
        for field in ("pre-depends", "depends"):
            for clause in clauses(fields.get(field, "")):
                chosen = _choose(index, clause, taken, exclude, name)
                if chosen is not None and chosen not in taken:
                    taken.add(chosen)
                    pending.append(chosen)
    return sorted(taken)


def _choose(
    index: Index, clause: list[Atom], taken: set[str], exclude: Collection[str], name: str
) -> str | None:
    """The package that meets a clause; None if the clause is met by an exclusion."""
    if any(atom[0] in exclude for atom in clause):
        return None
    candidates = [package for atom in clause for package in _meeting(index, atom)]
    if any(package in exclude for package in candidates):
        return None
    for package in candidates:
        if package in taken:
            return package
    if candidates:
        return candidates[0]
    text = " | ".join(f"{atom[0]} {atom[1]} {atom[2]}".strip() for atom in clause)
    raise UNRESOLVED(f"{name} depends on {text}, which the archive does not have", where=name)


def _meeting(index: Index, atom: Atom) -> list[str]:
    name, relation, bound = atom
    real = index.packages.get(name)
    if real and (not relation or debversion.satisfies(real["version"], relation, bound)):
        return [name]
    return [
        provider
        for provider, version in index.provides.get(name, ())
        if not relation or (version and debversion.satisfies(version, relation, bound))
    ]

# SPDX-License-Identifier: Apache-2.0
"""Which Debian mirrors this machine uses. No mirror's name is written down here.

Read from --mirror, EDGEBUILD_MIRROR, apt's sources (sources.list(5), both formats) or, on other
distributions, python-apt's list of Debian mirrors. What comes from a mirror is checked against
digests, so a wrong guess costs time and nothing else.
"""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import NO_MIRROR
from edgebuild.host import deb822, process

_APT = Path("/etc/apt")
_TEMPLATES = Path("/usr/share/python-apt/templates")
_DEBIAN_SUITES = frozenset(
    ("stable", "oldstable", "testing", "unstable", "sid", "bullseye", "bookworm", "trixie", "forky",
     "duke")
)  # fmt: skip
_PROXY_SETTINGS = ("Acquire::http::Proxy", "Acquire::https::Proxy")
_SCHEMES = ("http://", "https://", "file:/")
_ONE_LINE = re.compile(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+(\S.*)")


def mirrors(option: str | None, apt: Path = _APT, templates: Path = _TEMPLATES) -> tuple[str, ...]:
    """Base addresses to try, in order, without a final slash. Raises E101 if there is none."""
    given = option or os.environ.get("EDGEBUILD_MIRROR", "")
    found = given.replace(",", " ").split() or _from_apt(apt) or _from_templates(templates)
    if not found:
        raise NO_MIRROR(
            "this machine's apt settings name no Debian mirror",
            where=str(apt),
            hint="pass --mirror (or set EDGEBUILD_MIRROR) with the address of a Debian mirror: "
            "what is before /dists/ in its addresses, for instance file:///srv/debian",
        )
    for address in found:
        if not address.startswith(_SCHEMES):
            raise NO_MIRROR(
                f"'{address}' is no mirror address",
                hint="it starts with http://, https:// or file:///",
            )
    return tuple(dict.fromkeys(address.rstrip("/") for address in found))


def proxies(apt_config: str = "apt-config") -> dict[str, str]:
    """The proxies to use, by scheme: this process's environment wins over apt's settings."""
    if found := urllib.request.getproxies():
        return found
    try:
        said = process.run([apt_config, "dump", *_PROXY_SETTINGS], what="read apt's settings").text
    except EdgebuildError:
        return {}  # no apt here, or one that cannot read its own settings
    pairs = re.findall(r'^Acquire::(https?)::Proxy "([^"]+)";$', said, re.MULTILINE)
    return {scheme: address for scheme, address in pairs if address != "DIRECT"}


def _from_apt(apt: Path) -> list[str]:
    parts = sorted((apt / "sources.list.d").glob("*"))
    entries: list[tuple[str, str, str]] = []
    for path in [apt / "sources.list", *parts]:
        text = _read(path)
        if path.suffix == ".sources":
            entries += _deb822_entries(text)
        elif path.suffix == ".list":
            entries += _one_line_entries(text)
    return [
        uri
        for uri, suite, components in entries
        if suite in _DEBIAN_SUITES and "main" in components.split() and uri.startswith(_SCHEMES)
    ]


def _deb822_entries(text: str) -> Iterable[tuple[str, str, str]]:
    try:
        blocks = deb822.paragraphs(text)
    except ValueError:
        return  # apt refuses the file too; another one may be good
    for block in blocks:
        if block.get("enabled", "yes").lower() in ("no", "false", "without", "off", "disable"):
            continue
        for uri in block.get("uris", "").split():
            for suite in block.get("suites", "").split():
                yield uri, suite, block.get("components", "")


def _one_line_entries(text: str) -> Iterable[tuple[str, str, str]]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match:
            yield match[1], match[2], match[3]


def _from_templates(templates: Path) -> list[str]:
    """The base address in python-apt's description of Debian, which Ubuntu installs too."""
    found = re.search(r"^BaseURI:\s*(\S+)$", _read(templates / "Debian.info"), re.MULTILINE)
    listed = re.findall(r"^(https?://\S+)$", _read(templates / "Debian.mirrors"), re.MULTILINE)
    return [found[1]] if found else listed[:3]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

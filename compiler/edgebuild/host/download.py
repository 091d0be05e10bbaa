# SPDX-License-Identifier: Apache-2.0
"""Fetching one file from one of several mirrors: bounded, resumed, retried. Checks no content."""

from __future__ import annotations

import functools
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from edgebuild.errors.inputs import GONE, UNREACHABLE, WRONG_CONTENT
from edgebuild.host import mirrors
from edgebuild.host.files import told_plainly

_TIMEOUT_S = 30
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_CHUNK = 1 << 16
_GONE = (404, 410)
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
_SNAPSHOT = (
    "the mirror has moved on: pass --mirror with a snapshot of the archive (or a mirror of your "
    "own) that still has it, or make a new lock with `edgebuild lock`"
)


def fetch(
    addresses: Sequence[str],
    path: str,
    part: Path,
    size_bytes: int,
    on_bytes: Callable[[int], None],
    *,
    pause: Callable[[float], None] = time.sleep,
    exact: bool = True,
) -> None:
    """Bring ``part`` to ``size_bytes`` bytes of ``path``, going on from what it already holds.

    ``on_bytes`` is told of each piece's size. Without ``exact`` the size is a limit only. Raises
    E102 when no mirror answers, E103 when all that answer lack the file, E104 when one sends
    more than ``size_bytes``.
    """
    left = list(addresses)
    last = ""
    for wait_s in (0.0, *_PAUSES_S):
        if wait_s:
            pause(wait_s)
        for address in list(left):
            try:
                return _transfer(f"{address}/{path}", part, size_bytes, on_bytes, exact)
            except urllib.error.HTTPError as error:
                error.close()
                last = f"the server answered {error.code} {error.reason}"
                if error.code in _GONE:
                    left.remove(address)
                elif error.code == 416:  # our part is no part of their file
                    part.unlink(missing_ok=True)
            except _NETWORK_ERRORS as error:
                last = str(getattr(error, "reason", error)) or type(error).__name__
                if "No such file" in last:  # file: mirrors
                    left.remove(address)
        if not left:
            raise GONE("the mirror does not have this file", where=path, hint=_SNAPSHOT)
    raise UNREACHABLE(
        f"cannot download: {last}",
        where=f"{left[0]}/{path}",
        hint="check the network and the proxy settings, or choose another mirror with --mirror; "
        "`--offline` builds from the cache alone",
    )


def fetch_bytes(
    addresses: Sequence[str],
    path: str,
    part: Path,
    limit_bytes: int,
    pause: Callable[[float], None] = time.sleep,
) -> bytes:
    """The content of a file whose size is not known beforehand, up to ``limit_bytes``."""
    part.unlink(missing_ok=True)
    try:
        fetch(addresses, path, part, limit_bytes, lambda _: None, pause=pause, exact=False)
        return part.read_bytes()
    finally:
        part.unlink(missing_ok=True)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler(mirrors.proxies()))


def _transfer(
    url: str, part: Path, size_bytes: int, on_bytes: Callable[[int], None], exact: bool
) -> None:
    with told_plainly(part):
        have = part.stat().st_size if part.exists() else 0
    if have == size_bytes:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "edgebuild"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _opener().open(request, timeout=_TIMEOUT_S) as answer:
        resumed = have > 0 and answer.status == 206
        have = have if resumed else 0
        with told_plainly(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read1(_CHUNK):
                    have += len(chunk)
                    if have > size_bytes:
                        break
                    file.write(chunk)
                    file.flush()  # whatever ends us, the next run goes on from here
                    on_bytes(len(chunk))
    if have > size_bytes:
        part.unlink(missing_ok=True)
        raise WRONG_CONTENT(f"the server sends more than {size_bytes} bytes", where=url)
    if exact and have < size_bytes:
        raise http.client.HTTPException(f"the connection ended after {have} of {size_bytes} bytes")

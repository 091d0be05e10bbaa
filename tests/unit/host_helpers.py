# SPDX-License-Identifier: Apache-2.0
"""A tiny Debian archive made on the spot, and a loopback server with the faults of real ones."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import lzma
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pysequoia

from edgebuild.model.lock import Lock, LockedFile, LockedPackage


def tar(entries: Sequence[tuple[str, Any]], compress: str = "xz") -> bytes:
    """A tar of (name, content): bytes for a file, None for a directory, text for a link's target,
    a TarInfo for anything else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compress}") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.mtime = 1_700_000_000
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size, info.mode = (
                    len(content),
                    0o755 if "/bin/" in name or "/ld-" in name else 0o644,
                )
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    """An ar archive, as deb(5) describes it."""
    out = b"!<arch>\n"
    for name, data in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        out += header.encode() + data + b"\n" * (len(data) % 2)
    return out


def deb(entries: Sequence[tuple[str, Any]]) -> bytes:
    """A .deb with these files."""
    return ar([
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", tar([("./control", b"Package: x\n")])),
        ("data.tar.xz", tar(entries)),
    ])  # fmt: skip


@dataclass
class FakeArchive:
    """A signed archive in a directory."""

    root: Path
    suite: str = "trixie"
    paragraphs: dict[str, list[str]] = field(default_factory=dict)
    key: Any = None

    def __post_init__(self) -> None:
        self.key = pysequoia.Tsk.generate("Archive <archive@example.invalid>")

    @property
    def keys(self) -> bytes:
        return str(self.key.extract_certificate()).encode()

    @property
    def address(self) -> str:
        return self.root.as_uri()

    def add(
        self,
        name: str,
        version: str = "1.0-1",
        arch: str = "amd64",
        *,
        data: bytes | None = None,
        extra: str = "",
    ) -> LockedFile:
        """Put a binary package into the pool and into the index of its CPU."""
        content = deb([(f"./usr/share/{name}", name.encode())]) if data is None else data
        path = f"pool/main/{name[0]}/{name}/{name}_{version.rpartition(':')[2]}_{arch}.deb"
        file = self._pool(path, content)
        fields = (
            f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n{extra}"
            f"Filename: {path}\nSize: {file.size_bytes}\nSHA256: {file.sha256}\n"
        )
        for cpu in ("amd64", "arm64") if arch == "all" else (arch,):
            self.paragraphs.setdefault(f"main/binary-{cpu}/Packages", []).append(fields)
        return file

    def add_source(self, name: str, version: str, files: dict[str, bytes]) -> list[LockedFile]:
        folder = f"pool/main/{name[0]}/{name}"
        made = [self._pool(f"{folder}/{file}", data) for file, data in files.items()]
        sums = "".join(f"\n {one.sha256} {one.size_bytes} {Path(one.path).name}" for one in made)
        self.paragraphs.setdefault("main/source/Sources", []).append(
            f"Package: {name}\nVersion: {version}\nDirectory: {folder}\nChecksums-Sha256:{sums}\n"
        )
        return made

    def publish(self, by_hash: bool = False) -> None:
        """Write the indexes and sign them."""
        folder = self.root / "dists" / self.suite
        sums = ""
        for name, blocks in self.paragraphs.items():
            data = lzma.compress("\n".join(blocks).encode())
            digest = hashlib.sha256(data).hexdigest()
            place = folder / f"{name}.xz"
            if by_hash:
                place = place.parent / "by-hash" / "SHA256" / digest
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            sums += f"\n {digest} {len(data)} {name}.xz"
        self.sign(
            f"Origin: Debian\nSuite: stable\nCodename: {self.suite}\n"
            f"Acquire-By-Hash: {'yes' if by_hash else 'no'}\n"
            f"Date: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:{sums}\n"
        )

    def sign(self, release: str) -> None:
        place = self.root / "dists" / self.suite / "InRelease"
        place.parent.mkdir(parents=True, exist_ok=True)
        signer = self.key.signer()
        mode = pysequoia.SignatureMode.CLEAR
        place.write_bytes(pysequoia.sign(signer, release.encode(), mode=mode))

    def _pool(self, path: str, data: bytes) -> LockedFile:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return LockedFile(
            path=path,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            purl=f"pkg:deb/debian/{Path(path).name}",
        )


def package(name: str, *files: LockedFile, arch: str = "amd64", **more: Any) -> LockedPackage:
    return LockedPackage(
        name=name, version="1", architecture=arch, source=name, source_version="1", files=files,
        **more,
    )  # fmt: skip


def lock(**groups: Sequence[LockedPackage]) -> Lock:
    return Lock(
        suite="trixie",
        archive_date="",
        release_sha256="0" * 64,
        signed_by=(),
        groups={name.replace("_", "-"): tuple(packages) for name, packages in groups.items()},
        digest="0" * 64,
    )


@dataclass
class Server:
    """A file server on loopback. The faults are used up one by one, by the next requests."""

    root: Path
    address: str = ""
    ranges: bool = True
    faults: list[str] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        fault = self.faults.pop(0) if self.faults else ""
        place = self.root / handler.path.lstrip("/")
        if fault.isdigit():
            handler.send_error(int(fault))
            return
        if not place.is_file():
            handler.send_error(404)
            return
        data = place.read_bytes()
        start = int(asked.split("=")[1].rstrip("-")) if asked and self.ranges else 0
        if start > len(data):
            handler.send_error(416)
            return
        body = data[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if fault == "half":  # the connection breaks
            body = body[: len(body) // 2]
        if fault == "garbage":
            body = bytes(len(body))
        if fault == "silent":  # the mirror neither sends nor hangs up
            handler.wfile.write(body[:1000])
            handler.wfile.flush()
            self.released.wait()
            return
        handler.wfile.write(body)


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Server]:
    """Serve a directory on a free loopback port while the block runs."""
    state = Server(root)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            state.released.set()
            server.shutdown()
            thread.join()

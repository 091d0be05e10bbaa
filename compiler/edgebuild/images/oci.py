# SPDX-License-Identifier: Apache-2.0
"""Writes a container image: OCI image layout 1.1 in a tar file, from nothing but the executable.

It also holds the manifest.json of ``docker save``, so that old engines load it too. The layer is
compressed by the locked gzip: what Python's zlib makes depends on the machine's library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebuild.host import files, process, tools
from edgebuild.host.store import Store
from edgebuild.images import tree
from edgebuild.images.elf import check_executable
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Profile

USER = 65532
PORT = 8080
_CREATED = "1980-01-01T00:00:00Z"  # the epoch of every file in it: there is no build time
_PLATFORMS: Mapping[str, Mapping[str, str]] = {
    "amd64": {"architecture": "amd64", "os": "linux"},
    "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    "riscv64": {"architecture": "riscv64", "os": "linux"},
}
_TYPE = "application/vnd.oci.image"
_SECOND_NS = 1_000_000_000


def build(
    store: Store,
    lock: Lock,
    executable: Path,
    profile: Profile,
    out: Path,
    *,
    labels: Mapping[str, str],
) -> None:
    """Write the image to ``out``. ``labels`` are added to ours. Raises E408 for an executable
    that cannot run without a loader, or on another CPU."""
    program = executable.read_bytes()
    check_executable(program, profile.debian_arch, executable.name)
    layer_tar = tree.to_tar(payload(program))
    gzip = [*tools.tool(store, lock, "gzip"), "-9", "-n", "-c"]
    layer = process.run(gzip, what="compress the image's layer", stdin=layer_tar).stdout
    files.atomic_write(out, archive(profile, layer, layer_tar, labels))


def payload(program: bytes) -> list[tree.Entry]:
    """The files of the container."""
    passwd = f"gateway:x:{USER}:{USER}:MCP gateway:/data:/nonexistent\n"
    return [
        tree.directory("/etc"),
        tree.Entry(path="/etc/passwd", data=f"root:x:0:0:root:/:/nonexistent\n{passwd}".encode()),
        tree.Entry(path="/etc/group", data=f"root:x:0:\ngateway:x:{USER}:\n".encode()),
        tree.directory("/data", 0o700, USER),
        tree.directory("/tmp", 0o1777),  # noqa: S108 - of the container
        tree.Entry(path="/mcp-gateway", mode=0o755, data=program),
    ]


def archive(profile: Profile, layer: bytes, layer_tar: bytes, labels: Mapping[str, str]) -> bytes:
    """The layout's files as a tar: index, manifest, configuration, layer."""
    reference = f"mcp-gateway:{profile.name}"
    told = {
        "org.opencontainers.image.title": "mcp-gateway",
        "org.opencontainers.image.description": f"MCP gateway for {profile.title}",
        "org.opencontainers.image.licenses": "Apache-2.0",
        **labels,
    }
    platform = _PLATFORMS[profile.debian_arch]
    config = _json(_configuration(platform, told, _digest(layer_tar)))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": _descriptor(f"{_TYPE}.config.v1+json", config),
            "layers": [_descriptor(f"{_TYPE}.layer.v1.tar+gzip", layer)],
            "annotations": told,
        }
    )
    entry = _descriptor(f"{_TYPE}.manifest.v1+json", manifest) | {
        "platform": platform,
        "annotations": {
            "org.opencontainers.image.ref.name": profile.name,
            "io.containerd.image.name": f"docker.io/library/{reference}",
        },
    }
    index = {"schemaVersion": 2, "mediaType": f"{_TYPE}.index.v1+json", "manifests": [entry]}
    saved = [
        {"Config": _blob(config), "RepoTags": [reference], "Layers": [_blob(layer)]},
    ]
    contents = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(index),
        "manifest.json": _json(saved),
        **{_blob(content): content for content in (config, manifest, layer)},
    }
    folders = [tree.directory("/blobs"), tree.directory("/blobs/sha256")]
    blobs = [tree.Entry(path=f"/{name}", data=data) for name, data in contents.items()]
    return tree.to_tar([*folders, *blobs])


def _configuration(
    platform: Mapping[str, str], labels: Mapping[str, str], layer: str
) -> dict[str, Any]:
    return {
        **platform,
        "created": _CREATED,
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": ["/mcp-gateway"],
            "Cmd": ["--http", f"0.0.0.0:{PORT}"],
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "WorkingDir": "/data",
            "Env": ["PATH=/", "HOME=/data"],
            "Labels": dict(labels),
            "StopSignal": "SIGTERM",
            # Docker's extension of the configuration; other engines ignore it.
            "Healthcheck": {
                "Test": ["CMD", "/mcp-gateway", "--healthcheck"],
                "Interval": 30 * _SECOND_NS,
                "Timeout": 5 * _SECOND_NS,
                "StartPeriod": 10 * _SECOND_NS,
                "Retries": 3,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created": _CREATED, "created_by": "edgebuild"}],
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(content: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}

# SPDX-License-Identifier: Apache-2.0
"""The container image: a whole OCI layout, and a docker archive, of the same blobs."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import tools
from edgebuild.images import oci
from edgebuild.images.elf import check_executable
from tests.unit.image_helpers import GZIP, FakeStore, lock, profile, program, unzip

Archive = dict[str, bytes]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setattr(tools, "tool", lambda *_: GZIP)
    executable, out = tmp_path / "mcp-gateway-arm64", tmp_path / "image.tar"
    executable.write_bytes(program("arm64"))
    labels = {"org.opencontainers.image.version": "1.2"}
    oci.build(FakeStore(tmp_path), lock(), executable, profile(), out, labels=labels)  # type: ignore[arg-type]
    with tarfile.open(out) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isreg()}  # type: ignore[union-attr]


def blob(built: Archive, descriptor: dict[str, Any]) -> bytes:
    data = built["blobs/" + descriptor["digest"].replace(":", "/")]
    assert len(data) == descriptor["size"]
    return data


def test_every_blob_is_named_by_its_digest(built: Archive) -> None:
    blobs = {name: data for name, data in built.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    assert json.loads(built["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_the_index_leads_to_the_configuration(built: Archive) -> None:
    (entry,) = json.loads(built["index.json"])["manifests"]
    assert entry["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "rpi4"
    manifest = json.loads(blob(built, entry))
    config = json.loads(blob(built, manifest["config"]))
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Healthcheck"]["Test"] == ["CMD", "/mcp-gateway", "--healthcheck"]
    assert config["config"]["Entrypoint"] == ["/mcp-gateway"]
    assert config["config"]["Labels"]["org.opencontainers.image.version"] == "1.2"
    layer = unzip(blob(built, manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_the_layer_has_the_program_and_a_folder_that_its_user_owns(built: Archive) -> None:
    (entry,) = json.loads(built["index.json"])["manifests"]
    layer = unzip(blob(built, json.loads(blob(built, entry))["layers"][0]))
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = {member.name: member for member in archive}
        assert archive.extractfile(members["mcp-gateway"]).read() == program("arm64")  # type: ignore[union-attr]
    assert members["mcp-gateway"].mode == 0o755
    assert (members["data"].uid, members["data"].mode) == (65532, 0o700)
    assert members["etc/passwd"].uid == 0


def test_old_engines_find_the_same_blobs(built: Archive) -> None:
    (saved,) = json.loads(built["manifest.json"])
    assert saved["RepoTags"] == ["mcp-gateway:rpi4"]
    assert saved["Config"] in built
    assert all(layer in built for layer in saved["Layers"])


def test_a_dynamic_program_is_refused_E408() -> None:
    with pytest.raises(EdgebuildError) as error:
        check_executable(program(interpreter=True), "arm64", "x")
    assert error.value.kind.code == "E408"
    assert "-static" in str(error.value.hint)


@pytest.mark.parametrize(
    "content",
    [program("amd64"), b"", b"#!/bin/sh\n" * 20, program(kind=1), program()[:66]],
    ids=["other CPU", "empty", "script", "object file", "truncated"],
)
def test_a_program_of_another_kind_is_refused_E408(content: bytes) -> None:
    with pytest.raises(EdgebuildError) as error:
        check_executable(content, "arm64", "x")
    assert error.value.kind.code == "E408"


def test_a_static_position_independent_program_is_fine() -> None:
    moved = program(kind=3)
    check_executable(moved, "arm64", "x")
    assert moved != program()

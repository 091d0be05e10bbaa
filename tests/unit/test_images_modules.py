# SPDX-License-Identifier: Apache-2.0
"""Kernel modules: which go into an image, and in which order they are loaded."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.images import modules
from tests.unit.image_helpers import kernel_tree, module


@pytest.fixture
def shelf(tmp_path: Path) -> modules.Shelf:
    return modules.Shelf(kernel_tree(tmp_path))


def test_dependencies_come_first_and_providers_of_an_algorithm_too(shelf: modules.Shelf) -> None:
    chosen = modules.choose(shelf, ["virtio-blk", "erofs", "ext4"])
    assert [one.name for one in chosen] == [
        "virtio_ring", "virtio_blk", "crc32c_generic", "libcrc32c", "erofs",
    ]  # fmt: skip


def test_the_manifest_says_when_to_load_what(shelf: modules.Shelf) -> None:
    wanted = ["erofs", "virtio_blk"]
    lines = modules.manifest(modules.choose(shelf, wanted), wanted).splitlines()
    assert [line.split("\t") for line in lines] == [
        ["crc32c_generic.ko", "-", "depend"],
        ["libcrc32c.ko", "0", "depend"],
        ["erofs.ko", "1", "always"],
        ["virtio_ring.ko", "-", "depend"],
        ["virtio_blk.ko", "3", "match", "virtio:d00000002v*"],
    ]


def test_what_the_kernel_has_built_in_needs_no_file(shelf: modules.Shelf) -> None:
    assert modules.choose(shelf, ["ext4"]) == []


def test_an_unknown_module_is_named_with_its_nearest_E401(shelf: modules.Shelf) -> None:
    with pytest.raises(EdgebuildError) as error:
        modules.choose(shelf, ["virtio_blkk"])
    assert error.value.kind.code == "E401"
    assert "virtio_blk" in str(error.value.hint)


def test_a_missing_dependency_is_the_packages_fault_E402(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path)
    next(tree.rglob("virtio-ring.ko.xz")).unlink()
    with pytest.raises(EdgebuildError) as error:
        modules.choose(modules.Shelf(tree), ["virtio_blk"])
    assert error.value.kind.code == "E402"


def test_a_package_without_modules_is_refused_E402(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as error:
        modules.Shelf(tmp_path)
    assert error.value.kind.code == "E402"


@pytest.mark.parametrize("content", [b"not xz", b""])
def test_a_damaged_module_is_refused_E406(tmp_path: Path, content: bytes) -> None:
    tree = kernel_tree(tmp_path)
    next(tree.rglob("erofs.ko.xz")).write_bytes(content)
    with pytest.raises(EdgebuildError) as error:
        modules.choose(modules.Shelf(tree), ["erofs"])
    assert error.value.kind.code == "E406"


@given(st.integers(0, 400))
def test_a_truncated_module_is_an_error_and_no_crash_E406(length: int) -> None:
    whole = module(alias=["pci:v*"], depends=["a,b"])
    if length >= len(whole):
        assert modules.modinfo(whole)["depends"] == ["a,b"]
        return
    try:
        modules.modinfo(whole[:length])
    except EdgebuildError as error:
        assert error.kind.code == "E406"


def test_an_uncompressed_module_is_read_as_it_is(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path)
    folder = next(tree.rglob("kernel"))
    (folder / "plain.ko").write_bytes(module(depends=[""]))
    assert [one.name for one in modules.choose(modules.Shelf(tree), ["plain"])] == ["plain"]

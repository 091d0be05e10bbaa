# SPDX-License-Identifier: Apache-2.0
"""The bytes of small images: a change of a digest is a line in a diff for a person to look at.

python -m tests.unit.test_images_golden        writes tests/golden/images.sha256 anew
"""

import hashlib
import json
import sys
from pathlib import Path

from edgebuild.images import bmap, cpio, fat, frames, gpt, oci, tree, uki
from edgebuild.images.identity import identifier
from tests.unit.image_helpers import profile, program, stub

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "images.sha256"
BOOT = 264 << 20


def small_images() -> dict[str, bytes]:
    """One of everything that an image is made of, from fixed content."""
    entries = [tree.directory("/data", 0o700, 65532), tree.link("/l", "t"),
               tree.Entry(path="/init", mode=0o755, data=program())]  # fmt: skip
    initramfs = cpio.archive(entries)
    parts = {".cmdline": b"quiet", ".initrd": initramfs, ".linux": bytes(range(256)) * 99}
    unified = uki.assemble(stub(), parts)
    boot = fat.image({"EFI/BOOT/BOOTX64.EFI": unified, "dtb/a long name.dtb": b"x"}, BOOT, 7, "E")
    place = gpt.Partition(
        name="edge-boot",
        kind=gpt.ESP,
        unique=identifier("golden", "boot"),
        first=gpt.ALIGN,
        sectors=BOOT // gpt.SECTOR,
    )
    total = 2 * gpt.ALIGN + BOOT // gpt.SECTOR
    head, tail = gpt.tables([place], identifier("golden", "disk"), total, hybrid=True)
    ranges = [bmap.digest_range(0, head), bmap.digest_range(1 << 20, boot)]
    layer = tree.to_tar(oci.payload(program()))
    return {
        "boot.fat": boot,
        "boot.fat.zst": frames.frame(boot, BOOT, 3),
        "image.bmap": bmap.render(total * gpt.SECTOR, ranges).encode(),
        "initramfs.cpio": initramfs,
        "listing.json": json.dumps(tree.listing(entries)).encode(),
        "oci.tar": oci.archive(profile("riscv64"), b"layer", layer, {"version": "0"}),
        "root.tar": tree.to_tar(entries),
        "table.head": head,
        "table.tail": tail,
        "unified.efi": unified,
    }


def listed() -> str:
    images = small_images()
    return "".join(f"{hashlib.sha256(images[n]).hexdigest()}  {n}\n" for n in sorted(images))


def test_small_images_have_the_golden_digests() -> None:
    assert listed() == GOLDEN.read_text(), "see the head of this file for how to renew them"


if __name__ == "__main__":
    GOLDEN.write_text(listed())
    sys.stdout.write(listed())

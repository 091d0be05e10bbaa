# SPDX-License-Identifier: Apache-2.0
"""Images of every target boot, keep their promises, and survive what a gateway can do.

A small C program takes the gateway's place: it says what it is allowed to do, and ends when it
is told to.
"""

import dataclasses
import json
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebuild.config import profiles
from edgebuild.host import compiler, lockfile, paths, process, tools
from edgebuild.host.store import Store
from edgebuild.images import base, filesystems, firmware, oci, programs
from edgebuild.lab import accelerator, media
from edgebuild.lab import run as lab
from edgebuild.model.profile import Profile

pytestmark = pytest.mark.slow

TARGETS = ("x86_64", "rpi4", "riscv64")
WAIT_S = 300  # emulated, beside other work: ten times what it takes
HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Workshop:
    """Images by target, each made once."""

    folder: Path
    store: Store

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    @property
    def lock(self) -> Any:
        return lockfile.read(paths.data_dir() / "locks" / "trixie.lock.json")

    def profile(self, target: str) -> Profile:
        return profiles.load(target, paths.data_dir() / "targets")

    def executable(self, target: str) -> Path:
        out = self.folder / f"guest-{target}"
        if not out.exists():
            cpu = programs.TARGETS[self.profile(target).debian_arch]
            argv = [*compiler.zig(), "cc", "-target", cpu, "-static", "-Os", "-s"]
            process.run([*argv, HERE / "guest.c", "-o", out], what="compile the stand-in")
        return out

    def image(self, target: str, name: str = "", *, allow_shell: bool = False) -> Path:
        """The folder of a release-like image of the target."""
        out = self.folder / f"{target}{name}"
        if not (out / f"{target}.img.zst").exists():
            profile, lock = self.profile(target), self.lock
            base.build(self.store, lock, profile, out / "base", allow_shell=allow_shell)
            (out / "config.json").write_text("{}")
            firmware.build(
                self.store,
                lock,
                profile,
                out / "base",
                self.executable(target),
                config=out / "config.json",
                image=out / f"{target}.img.zst",
                block_map=out / f"{target}.img.bmap",
            )
        return out

    def boot(self, target: str, folder: Path, **options: Any) -> Any:
        profile, port = self.profile(target), lab_port()
        return lab.run(folder, profile, self.store, self.lock, port=port, **options)


def lab_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("images"), Store(cache=paths.cache_dir()))


@pytest.fixture(scope="module", params=TARGETS)
def machine(workshop: Workshop, request: pytest.FixtureRequest) -> Iterator[lab.Machine]:
    """Each target's image, running; later tests may restart its gateway."""
    target = str(request.param)
    with workshop.boot(target, workshop.image(target)) as started:
        started.wait_for_answer("/health", WAIT_S)
        yield started


def get(machine: lab.Machine, path: str) -> bytes:
    with urllib.request.urlopen(machine.address + path, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def ask(machine: lab.Machine, path: str) -> None:
    """A request that ends the gateway, so that no answer comes."""
    with pytest.raises(OSError):
        get(machine, path)


def test_the_gateway_runs_with_no_rights_that_it_does_not_need(machine: lab.Machine) -> None:
    facts = json.loads(get(machine, "/facts"))
    assert facts["uid"] == 65532
    assert facts["no_new_privileges"] == "1"
    assert int(facts["capabilities"].strip(), 16) == 0
    assert (facts["writes_root"], facts["reads_log"], facts["shell"]) == (0, 0, 0)
    assert (facts["writes_data"], facts["writes_tmp"]) == (1, 1)
    for option in ("ext4", "nosuid", "nodev", "noexec"):
        assert option in facts["data"]


def test_network_name_and_clock_are_set(machine: lab.Machine, workshop: Workshop) -> None:
    assert machine.wait_for_line("leased", WAIT_S)
    facts = json.loads(get(machine, "/facts"))
    assert facts["host"] in {target.replace("_", "-") for target in TARGETS}
    assert facts["time"] >= firmware.clock_floor(workshop.lock)
    assert facts["server"] == "nameserver 10.0.2.3"


def test_a_gateway_that_ends_is_started_again_and_why_is_logged(machine: lab.Machine) -> None:
    before = json.loads(get(machine, "/facts"))["pid"]
    ask(machine, "/exit")
    assert machine.wait_for_line("gateway: exited with status 3", WAIT_S)
    machine.wait_for_answer("/health", WAIT_S)
    ask(machine, "/crash")
    assert machine.wait_for_line("gateway: killed by signal 6 (Aborted)", WAIT_S)
    machine.wait_for_answer("/health", WAIT_S)
    assert json.loads(get(machine, "/facts"))["pid"] > before
    waits = [int(line.split("again in ")[1].split()[0]) for line in machine.lines
             if "again in " in line]  # fmt: skip
    assert waits == sorted(waits)
    assert waits[1] == 2 * waits[0]
    # What a service writes cannot drive the terminal of who reads the console.
    assert any("gateway: asked to [2Jend" in line for line in machine.lines)
    assert not any("\033[2Jend" in line for line in machine.lines)


@pytest.mark.parametrize("target", ["x86_64", "rpi4"])
def test_the_power_button_switches_it_off_in_order(workshop: Workshop, target: str) -> None:
    with workshop.boot(target, workshop.image(target)) as started:
        started.wait_for_answer("/health", WAIT_S)
    text = "\n".join(started.lines)
    assert text.index("init: powering off") < text.index("gateway: stopped")
    assert "reboot: Power down" in text
    if target == "x86_64":
        assert "watchdog: /dev/watchdog restarts the device" in text


def test_the_real_sd_image_boots_on_a_model_of_the_board(workshop: Workshop) -> None:
    lines: list[str] = []
    folder = workshop.image("rpi4")
    with workshop.boot("rpi4", folder, board=True, console=lines.append) as started:
        assert started.wait_for_line("gateway: listening", WAIT_S), "\n".join(lines)
    assert any("init: root is edge-root-" in line and "mmcblk" in line for line in lines)


def test_a_medium_without_its_root_partition_says_so(workshop: Workshop) -> None:
    broken = workshop.folder / "broken"
    broken.mkdir()
    raw = broken / "raw"
    media.unpack(workshop.image("rpi4") / "rpi4.img.zst", raw)
    place = media.partitions(raw)[1]
    with raw.open("r+b") as file:
        file.seek(place.offset)
        file.write(bytes(1 << 20))
    import zstandard

    (broken / "rpi4.img.zst").write_bytes(zstandard.compress(raw.read_bytes()))
    with workshop.boot("rpi4", broken) as started:
        assert started.wait_for_line("init: cannot mount the root file system; restarting", WAIT_S)


def test_the_probe_for_an_accelerator_runs_its_guest(workshop: Workshop) -> None:
    command = tools.tool(workshop.store, workshop.lock, "qemu-system-x86_64")
    assert accelerator.runs(command, "tcg", "max")
    assert not accelerator.runs(command, "none-such", "max")


def test_the_locked_tools_give_the_same_image_twice(workshop: Workshop) -> None:
    one, two = workshop.image("rpi4"), workshop.image("rpi4", "-again")
    for name in ("rpi4.img.zst", "rpi4.img.bmap"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_the_file_systems_are_sound(workshop: Workshop, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    media.unpack(workshop.image("rpi4") / "rpi4.img.zst", raw)
    names = ("boot", "root.erofs", "data.ext4")
    for place, name in zip(media.partitions(raw), names, strict=True):
        with raw.open("rb") as file:
            file.seek(place.offset)
            (tmp_path / name).write_bytes(file.read(place.size))

    def tool(name: str) -> list[str]:
        return tools.tool(workshop.store, workshop.lock, name)

    process.run([*tool("fsck.erofs"), tmp_path / "root.erofs"], what="check the root")
    process.run([*tool("e2fsck"), "-fn", tmp_path / "data.ext4"], what="check the data")
    used = filesystems.ext4_used((tmp_path / "data.ext4").read_bytes())
    assert used[0][0] == 0
    assert sum(end - first for first, end in used) < 16 << 20


def test_the_shell_is_there_when_it_is_asked_for(workshop: Workshop) -> None:
    folder = workshop.image("rpi4", "-shell", allow_shell=True)
    with workshop.boot("rpi4", folder) as started:
        started.wait_for_answer("/health", WAIT_S)
        assert json.loads(get(started, "/facts"))["shell"] == 1
        assert started.wait_for_line("shell: started", WAIT_S)


@pytest.fixture
def archive(workshop: Workshop, tmp_path: Path) -> Callable[[str], Path]:
    def make(target: str) -> Path:
        out, profile = tmp_path / f"{target}.oci.tar", workshop.profile(target)
        executable = workshop.executable(target)
        oci.build(workshop.store, workshop.lock, executable, profile, out, labels={"a.b": "c"})
        return out

    return make


@pytest.mark.parametrize("target", TARGETS)
def test_skopeo_reads_the_container_image(archive: Callable[[str], Path], target: str) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    out = archive(target)
    for transport in ("oci-archive", "docker-archive"):
        done = subprocess.run(
            ["skopeo", "inspect", "--config", f"{transport}:{out}"],
            capture_output=True,
            text=True,
            check=True,
        )
        config = json.loads(done.stdout)
        assert config["config"]["User"] == "65532:65532"
        assert config["config"]["Labels"]["a.b"] == "c"


def test_umoci_unpacks_the_container_image(archive: Callable[[str], Path], tmp_path: Path) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("umoci is not installed")
    layout = tmp_path / "layout"
    with tarfile.open(archive("x86_64")) as content:
        content.extractall(layout, filter="data")
    bundle = tmp_path / "bundle"
    argv = ["umoci", "unpack", "--rootless", "--image", f"{layout}:x86_64", str(bundle)]
    subprocess.run(argv, check=True, capture_output=True)
    program = bundle / "rootfs/mcp-gateway"
    assert program.stat().st_mode & 0o777 == 0o755
    assert (bundle / "rootfs/data").is_dir()

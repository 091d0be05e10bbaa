# SPDX-License-Identifier: Apache-2.0
"""The static executable, for every CPU: built from the shipped lock, then asked about itself."""

from __future__ import annotations

import json
import mmap
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgebuild.host import paths, tools
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Cache, Cpu
from edgebuild.runtimes import link, objects, relink
from edgebuild.runtimes.toolchain import Toolchain, Unit, machine, zig_cpu

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock has tools for amd64"),
]

PT_INTERP = 3  # asks for a loader
HERE = Path(__file__).parent
CPUS = {
    "amd64": ("x86_64", "x86-64-v2", (), None),
    "arm64": ("aarch64", "cortex-a72", (), "qemu-aarch64"),
    "riscv64": ("riscv64", "generic-rv64", ("+m", "+a", "+f", "+d", "+c"), "qemu-riscv64"),
}
ARGUMENTS_LIMIT_S = 120

# A model that reverses its four bytes with the pool's help, checks the boundary's promises and
# fails when told to.
MODEL = r"""
#include <stddef.h>
#include <stdint.h>
const char edge_NAME_card[] = "{\"name\":\"NAME\"}";
const size_t edge_NAME_card_bytes = sizeof edge_NAME_card - 1;
size_t edge_NAME_arena_bytes(void) { return 100; }
__attribute__((weak)) void edge_parallel(void (*task)(void *, int32_t, int32_t), void *context,
                                         int32_t tasks, int32_t grain, int32_t more);
static void copy(void *context, int32_t begin, int32_t end)
{
    void *const *both = context;
    for (int32_t i = begin; i < end; i++)
        ((unsigned char *)both[1])[i] = ((const unsigned char *)both[0])[3 - i];
}
int32_t edge_NAME_run(const void *const *in, void *const *out, void *arena)
{
    void *first[2] = {(void *)in[0], arena}, *second[2] = {arena, out[0]};
    if (((uintptr_t)arena | (uintptr_t)in[0] | (uintptr_t)out[0]) & 63)
        return -7;
    if (!edge_parallel)
        return -8;
    edge_parallel(copy, first, 4, 1, 1);
    edge_parallel(copy, second, 4, 1, 1);
    edge_parallel(copy, first, 4, 1, 0);
    for (int i = 0; i < 4; i++)
        ((unsigned char *)out[0])[i] = ((unsigned char *)arena)[i];
    return *(const unsigned char *)in[0] == 255 ? -3 : 0;
}
"""


@dataclass(frozen=True)
class Built:
    """One executable with all that it was made of."""

    deb_arch: str
    folder: Path
    emulator: list[str]

    @property
    def executable(self) -> Path:
        return self.folder / "gateway"

    def start(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.emulator, str(self.executable), *map(str, arguments)],
            capture_output=True,
            timeout=ARGUMENTS_LIMIT_S,
            env={"PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere", "LC_ALL": "C"},
            check=False,
        )

    def ask(self, *arguments: str | Path) -> dict[str, Any]:
        done = self.start(*arguments)
        assert done.returncode == len(arguments), done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def cpu(deb_arch: str) -> Cpu:
    arch, model, features, _ = CPUS[deb_arch]
    return Cpu(
        arch=arch,
        model=model,
        features=features,
        cores=4,
        clock_mhz=1000,
        cache=Cache(l1d_bytes=32768, l2_bytes=262144),
        macs_per_cycle_f32=1.0,
        macs_per_cycle_int8=1.0,
    )


def runtime_folder(target: Path) -> Path:
    """The real C and licence texts with the questioning gateway in place of ours."""
    ours = paths.data_dir() / "runtime"
    for name in ("native", "licences"):
        shutil.copytree(ours / name, target / name)
    shutil.copytree(
        HERE / "runtime_gateway/edgegate",
        target / "edgegate",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return target


def bundle(store: Store, lock: Lock, deb_arch: str, root: Path, name: str) -> Path:
    root.mkdir(parents=True)
    source = root / f"{name}.c"
    source.write_text(MODEL.replace("NAME", name))
    made = Toolchain(
        deb_arch=deb_arch,
        machine=machine(deb_arch),
        mcpu=zig_cpu(cpu(deb_arch)),
        sysroot=store.sysroot(lock, f"runtime-{deb_arch}"),
    )
    made.compile([Unit(name=name, source=source)], root, jobs=1)
    tensor = [{"bytes": 4}]
    (root / f"{name}.json").write_text(
        json.dumps({"name": name, "inputs": tensor, "outputs": tensor})
    )
    return root


def build(store: Store, lock: Lock, deb_arch: str, folder: Path, *, jobs: int) -> Built:
    runtime = runtime_folder(folder / "runtime")
    objects.build(
        store, lock, deb_arch, cpu(deb_arch), folder / "objects", runtime=runtime, jobs=jobs
    )
    bundles = [bundle(store, lock, deb_arch, folder / name, name) for name in ("one", "two")]
    (folder / "mcp-edge.toml").write_text('[gateway]\nname = "ä"\n', encoding="utf-8")
    made = (store, lock, deb_arch, folder / "objects", bundles, folder / "mcp-edge.toml")
    link.link(*made, folder / "gateway")
    relink.write(*made, folder / "gateway.relink.tar.zst")
    emulator = CPUS[deb_arch][3]
    return Built(deb_arch, folder, tools.tool(store, lock, emulator) if emulator else [])


@pytest.fixture(scope="session", params=sorted(CPUS))
def built(
    request: pytest.FixtureRequest,
    store: Store,
    lock: Lock,
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    folder = tmp_path_factory.mktemp(f"runtime-{request.param}")
    return build(store, lock, request.param, folder, jobs=2)


def test_nothing_outside_decides_what_runs(built: Built) -> None:
    answer = built.ask("isolation")
    assert answer["path"] == []
    assert answer["flags"] == [1, 1, 1]
    assert answer["names"] == ["core", "linux"]
    assert answer["encoding"] == "utf-8"


def test_kernels_are_called_and_never_with_wrong_sizes(built: Built) -> None:
    answer = built.ask("kernels")
    assert answer["cards"] == ['{"name":"one"}', '{"name":"two"}']
    assert answer["outputs"] == ["04030201"]
    assert answer["view"] == ["00000000"]
    assert answer["no such model"][0] == answer["negative"][0] == "IndexError"
    assert answer["too few"] == ["ValueError", "model one takes 1 inputs, not 0"]
    assert answer["too short"] == ["ValueError", "input 0 of model one has 3 bytes, not 4"]
    assert answer["too long"] == ["ValueError", "input 0 of model one has 5 bytes, not 4"]
    assert answer["not bytes"][0] == "TypeError"
    assert answer["kernel error"] == ["RuntimeError", "-3"]


def test_threads_do_not_see_each_others_tensors(built: Built) -> None:
    assert built.ask("threads") == {"wrong": []}


def key_of(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_tls_speaks_both_versions(built: Built, tmp_path: Path, kind: str) -> None:
    key = key_of(kind)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2200, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("device.example")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "c.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "k.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    answer = built.ask("tls", tmp_path / "c.pem", tmp_path / "k.pem")
    assert answer["version"].startswith("OpenSSL 3.5")
    assert answer["TLSv1_2"][:2] == ["TLSv1.2", "hello"]
    assert answer["TLSv1_3"][:2] == ["TLSv1.3", "hello"]


def test_the_heap_may_grow_again_after_it_was_refused(built: Built) -> None:
    # malloc ends the program when a later brk() succeeds from a break inside a page.
    if not built.emulator:
        pytest.skip("the kernel leaves room above the break; QEMU's user emulator refuses it often")
    calls = subprocess.run(
        [*built.emulator, "-strace", str(built.executable), "modules"],
        capture_output=True,
        timeout=ARGUMENTS_LIMIT_S,
        check=False,
    ).stderr.decode()
    breaks = [int(end, 16) for end in re.findall(r" brk\(.*\) = (0x[0-9a-f]+)$", calls, re.M)]
    assert len(breaks) > 2, calls[:2000]
    assert breaks[-1] % mmap.PAGESIZE == 0, [hex(end) for end in breaks]


def test_sqlite_keeps_a_file_in_wal_mode(built: Built, tmp_path: Path) -> None:
    answer = built.ask("sqlite", tmp_path / "queue.db")
    assert answer["rows"] == [3, '["x","y"]', 4.0]
    assert answer["search"] == "no such module: fts5"


def test_every_module_inside_can_be_imported(built: Built) -> None:
    recipe = json.loads((built.folder / "objects/link.json").read_text())
    assert {"ssl", "sqlite3", "edgegate.core.rules"} <= set(recipe["modules"])
    names = [name for name in recipe["modules"] if not name.startswith("_frozen_importlib")]
    assert built.ask("modules", *names) == {"failed": {}}


def test_configuration_and_licences_are_inside(built: Built) -> None:
    answer = built.ask("embedded")
    assert answer["config"] == '[gateway]\nname = "ä"\n'
    assert "libc6-dev" in (built.folder / "objects/licences.txt").read_text()
    assert answer["licences"].startswith("This program contains:")


@pytest.mark.parametrize("status", [0, 7])
def test_leaving_with_threads_running_keeps_the_status(built: Built, status: int) -> None:
    done = built.start("leave", str(status))
    assert (done.returncode, done.stdout) == (status, b"last words")


def test_an_exception_is_told_and_is_status_1(built: Built) -> None:
    done = built.start("broken")
    assert done.returncode == 1
    assert b"ValueError: on purpose" in done.stderr
    assert b"edgegate.linux.main" in done.stderr


def test_names_are_looked_up_without_a_loader(built: Built) -> None:
    assert set(built.ask("lookup")["addresses"]) & {"127.0.0.1", "::1"}


def program_headers(data: bytes) -> set[int]:
    """Types of an ELF64 file's program headers (ELF-64 object file format, 1.5)."""
    offset = int.from_bytes(data[32:40], "little")
    size, count = struct.unpack_from("<HH", data, 54)
    return {struct.unpack_from("<I", data, offset + index * size)[0] for index in range(count)}


def test_it_is_static_and_names_no_path_of_the_build(built: Built) -> None:
    data = built.executable.read_bytes()
    assert PT_INTERP not in program_headers(data)
    for text in (str(built.folder), str(paths.cache_dir()), str(paths.data_dir())):
        assert text.encode() not in data
    assert os.stat(built.executable).st_mode & 0o777 == 0o755
    # 14 MB is the budget of a real gateway with TLS and SQLite; this one has little Python.
    assert len(data) < 13_000_000


def test_relinking_gives_the_released_file(built: Built, store: Store, lock: Lock) -> None:
    with open(built.folder / "gateway.relink.tar.zst", "rb") as packed:
        data = zstandard.ZstdDecompressor().stream_reader(packed).read()
    subprocess.run(["tar", "-xf", "-"], input=data, cwd=built.folder, check=True)
    root = store.sysroot(lock, f"runtime-{built.deb_arch}") / "usr/lib"
    triplet = machine(built.deb_arch).triplet
    environment = dict(
        os.environ,
        LIBC=str(root / triplet),
        GCC=str(root / f"gcc/{triplet}/14"),
        LD=f"{sys.executable} -m ziglang ld.lld",
    )
    again = built.folder / "again"
    script = built.folder / "gateway.relink/relink.sh"
    subprocess.run(["sh", str(script), str(again)], env=environment, check=True)
    assert again.read_bytes() == built.executable.read_bytes()


def test_another_folder_and_job_count_give_the_same_bytes(
    store: Store, lock: Lock, tmp_path: Path
) -> None:
    first = build(store, lock, "arm64", tmp_path / "a", jobs=1)
    second = build(store, lock, "arm64", tmp_path / "some/where/else", jobs=2)
    names = ["gateway", "gateway.relink.tar.zst"]
    names += [f"objects/{path.name}" for path in sorted((first.folder / "objects").iterdir())]
    assert "objects/runtime.o" in names
    for name in names:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name

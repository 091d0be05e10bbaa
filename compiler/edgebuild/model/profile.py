# SPDX-License-Identifier: Apache-2.0
"""A target profile: what is known of one kind of device. Decoded from ``targets/<name>.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field


def doc(text: str) -> dict[str, str]:
    """Field metadata: the sentence that the reference pages print."""
    return {"doc": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Cache sizes that one core sees, in bytes."""

    l1d_bytes: int = field(metadata=doc("First-level data cache of one core, in bytes."))
    l2_bytes: int = field(metadata=doc("Second-level cache that one core can use, in bytes."))
    line_bytes: int = field(default=64, metadata=doc("Cache line, in bytes."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The processor, as kernels and compilers see it."""

    arch: str = field(
        metadata=doc("x86_64, aarch64 or riscv64; kernels also for armv7e-m, armv8.1-m and wasm32.")
    )
    model: str = field(metadata=doc("LLVM's name for the core, for instance cortex-a72."))
    features: tuple[str, ...] = field(
        default=(),
        metadata=doc("LLVM features that the core has beyond its model's own, for instance +v."),
    )
    cores: int = field(metadata=doc("Cores that the gateway may use."))
    clock_mhz: int = field(metadata=doc("Sustained clock, in MHz."))
    cache: Cache = field(metadata=doc("Cache sizes."))
    vector_bits: int = field(
        default=0,
        metadata=doc(
            "Width of a vector register in bits; 0 for none. On aarch64, 256 and 512 are the exact "
            "length of SVE's."
        ),
    )
    macs_per_cycle_f32: float = field(
        metadata=doc("Peak float32 multiply-adds of one core in one cycle.")
    )
    macs_per_cycle_int8: float = field(
        metadata=doc("Peak int8 multiply-adds of one core in one cycle.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Main memory."""

    size_bytes: int = field(metadata=doc("Installed memory, in bytes."))
    bandwidth_bytes_per_s: int = field(
        metadata=doc("Sustained read bandwidth of one core, in bytes per second.")
    )
    reserved_bytes: int = field(
        metadata=doc("Memory that firmware, kernel and the rest of the system keep, in bytes.")
    )
    source: str = field(metadata=doc("Where the bandwidth figure comes from."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The medium that the image is written to."""

    kind: str = field(metadata=doc("sd, emmc, nvme, sata or virtio."))
    size_bytes: int = field(metadata=doc("Smallest medium supported, in bytes."))
    data_bytes: int = field(metadata=doc("Size of the writable data partition, in bytes."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Electrical limits, where they are known."""

    idle_w: float = field(default=0.0, metadata=doc("Idle power in watts; 0 when not known."))
    max_w: float = field(default=0.0, metadata=doc("Full-load power in watts; 0 when not known."))
    source: str = field(default="", metadata=doc("Where the figures come from."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """How the device starts."""

    method: str = field(metadata=doc("uefi or raspberrypi."))
    kernel: str = field(metadata=doc("Kernel package group in the lock, for instance linux-arm64."))
    modules: tuple[str, ...] = field(
        default=(),
        metadata=doc("Kernel modules to load, in order; what they depend on is added."),
    )
    command_line: str = field(default="", metadata=doc("Added to the kernel command line."))
    device_trees: tuple[str, ...] = field(
        default=(), metadata=doc("Device tree files to ship, relative to the kernel's folder.")
    )
    console: str = field(metadata=doc("Serial console device, for instance ttyS0."))
    watchdog: str = field(default="/dev/watchdog", metadata=doc("Watchdog device."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """How the image is booted on a desk."""

    system: str = field(metadata=doc("QEMU system emulator, for instance qemu-system-aarch64."))
    machine: str = field(metadata=doc("QEMU machine that boots the release's root file system."))
    cpu: str = field(metadata=doc("QEMU CPU model."))
    memory_mb: int = field(metadata=doc("Memory to give the machine, in MiB."))
    user: str = field(
        default="", metadata=doc("User-mode emulator that runs one program, for kernel checks.")
    )
    modules: tuple[str, ...] = field(
        default=(), metadata=doc("Extra kernel modules that the emulated machine needs.")
    )
    console: str = field(default="", metadata=doc("Console device there, if not the board's."))
    board: str = field(
        default="", metadata=doc("QEMU machine that models the board itself, for a boot check.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything that is known of one kind of device."""

    name: str = field(metadata=doc("The target's name; the file's name without .toml."))
    title: str = field(metadata=doc("One line for people."))
    debian_arch: str = field(metadata=doc("Debian's name of the CPU: amd64, arm64 or riscv64."))
    outputs: tuple[str, ...] = field(metadata=doc("What to build: binary, oci, firmware."))
    cpu: Cpu = field(metadata=doc("The processor."))
    memory: Memory = field(metadata=doc("Main memory."))
    storage: Storage = field(metadata=doc("The boot medium."))
    power: Power = field(default=Power(), metadata=doc("Electrical limits."))
    boot: Boot = field(metadata=doc("How the device starts."))
    emulator: Emulator = field(metadata=doc("How the image is booted on a desk."))

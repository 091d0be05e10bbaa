# SPDX-License-Identifier: Apache-2.0
"""Fit: weights, arenas and gateway against the profile, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgebuild.errors.planning import TOO_LITTLE_MEMORY, TOO_LITTLE_STORAGE
from edgebuild.model.fit import Fit, ModelFit
from edgebuild.model.profile import Profile
from edgebuild.planning.roofline import predict

# What the gateway takes without models: resident bytes when idle, and bytes of the executable.
# Measured on releases of the demo model (docs/reference/release.md); the report compares
# each build with them.
GATEWAY_RESIDENT_BYTES = 16 << 20
GATEWAY_FILE_BYTES = 14 << 20

# The boot partition: FAT32 with 4 KiB clusters, and room for a second kernel beside the first.
BOOT_PARTITION_BYTES = 264 << 20

# The root file system without the gateway: kernel modules, PID 1, DHCP client.
ROOT_FILE_BYTES = 24 << 20

PER_REQUEST_BYTES = 2 << 20  # buffers of the connections that the gateway serves at once


def fit(facts: Sequence[Mapping[str, Any]], profile: Profile) -> Fit:
    """Add up what the models in ``facts`` need on the device of ``profile``.

    ``facts`` has one mapping per model: ``name``, ``weights_bytes``, ``arena_bytes`` and
    ``operators``, rows as ``roofline.predict`` takes them.
    """
    models = tuple(_model(each, profile) for each in facts)
    weights = sum(m.weights_bytes for m in models)
    arenas = sum(m.arena_bytes for m in models)
    storage = BOOT_PARTITION_BYTES + ROOT_FILE_BYTES + GATEWAY_FILE_BYTES + weights
    storage += profile.storage.data_bytes
    return Fit(
        target=profile.name,
        models=models,
        gateway_bytes=GATEWAY_RESIDENT_BYTES + PER_REQUEST_BYTES,
        memory_needed_bytes=GATEWAY_RESIDENT_BYTES + PER_REQUEST_BYTES + weights + arenas,
        memory_free_bytes=profile.memory.size_bytes - profile.memory.reserved_bytes,
        storage_needed_bytes=storage,
        storage_bytes=profile.storage.size_bytes,
    )


def require(result: Fit) -> Fit:
    """Return ``result`` if it fits. Raises E601 or E602 with the arithmetic."""
    if result.memory_needed_bytes > result.memory_free_bytes:
        raise TOO_LITTLE_MEMORY(
            f"needs {mib(result.memory_needed_bytes)} of memory; "
            f"{result.target} has {mib(result.memory_free_bytes)} free",
            where=_sum(result),
            hint="use a smaller or int8 model, fewer models, or a target with more memory",
        )
    if result.storage_needed_bytes > result.storage_bytes:
        raise TOO_LITTLE_STORAGE(
            f"needs {mib(result.storage_needed_bytes)} of storage; "
            f"{result.target} has {mib(result.storage_bytes)}",
            where=_sum(result),
            hint="use a smaller model, a smaller storage.data_bytes, or a larger medium",
        )
    return result


def mib(count: int) -> str:
    """Bytes for people: always MiB, so that sums can be checked by eye."""
    return f"{count / (1 << 20):.3f} MiB"


def _sum(result: Fit) -> str:
    parts = [f"gateway {mib(result.gateway_bytes)}"]
    for model in result.models:
        parts.append(f"{model.name}: weights {mib(model.weights_bytes)}")
        parts.append(f"arena {mib(model.arena_bytes)}")
    return " + ".join(parts)


def _model(facts: Mapping[str, Any], profile: Profile) -> ModelFit:
    rows = tuple(predict(facts["operators"], profile))
    return ModelFit(
        name=facts["name"],
        weights_bytes=facts["weights_bytes"],
        arena_bytes=facts["arena_bytes"],
        time_s=sum(row["time_s"] for row in rows),
        operators=rows,
    )

# SPDX-License-Identifier: Apache-2.0
"""``edgebuild bench``: how long models take on the machine at hand, beside other runtimes.

``run`` answers values; ``table`` prints them. Times are of one inference with inputs in place;
all contestants of a model are sampled in turn within one process (``bench_worker``).
"""

from __future__ import annotations

import importlib.util
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.errors.kernels import BENCH_PEER_MISSING, BENCH_PEER_UNKNOWN
from edgebuild.host import process
from edgebuild.kernels import bench_build, bundle
from edgebuild.model.profile import Cpu
from edgebuild.planning import roofline
from edgebuild.planning.roofline import Machine

#: name of a peer -> its Python package and the model format that it reads
PEERS: Mapping[str, tuple[str, str]] = {
    "litert": ("ai_edge_litert", ".tflite"),
    "onnxruntime": ("onnxruntime", ".onnx"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model. ``twin`` is the same network in the other format, for the other peer."""

    path: Path
    twin: Path | None = None

    def file(self, suffix: str) -> Path | None:
        """The file of that format, if there is one."""
        files = [each for each in (self.path, self.twin) if each is not None]
        return next((each for each in files if each.suffix == suffix), None)


def run(
    models: Sequence[Case | Path],
    *,
    cpu: Cpu,
    work: Path,
    machine: Machine,
    against: Sequence[str] = (),
    threads: int = 1,
    seconds: float = 2.0,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compile ``models`` for ``cpu``, which must be the machine at hand, and time them.

    ``machine`` has its limits (``roofline_host.measure``); ``work`` is a directory for the
    bundles; ``tell`` hears what is being done. Raises E280 for a peer that is not known, E281
    for one that is not installed, and what compiling raises.
    """
    require_peers(against)
    cases = [each if isinstance(each, Case) else Case(path=each) for each in models]
    rows = []
    for number, case in enumerate(cases):
        which = f"{case.path.name} ({number + 1} of {len(cases)})"
        tell(f"compile {which}")
        built = bench_build.build(case.path, cpu, work, threads=threads)
        tell(f"time {which}")
        job = {
            "name": built.name, "seed": number, "seconds": seconds, "threads": threads,
            "contestants": _contestants(case, built, against),
        }  # fmt: skip
        samples = _timed(job)
        samples["absent"] |= _unread(case, against)
        rows.append(summarise(samples, built.card, machine))
    return {
        "cpu": {"arch": cpu.arch, "model": cpu.model, "features": list(cpu.features)},
        "threads": threads,
        "models": rows,
        "geometric_mean": _geometric_mean(rows, "speedup"),
        "geometric_mean_min": _geometric_mean(rows, "speedup_min"),
        "machine": {
            "clock_hz": machine.clock_hz,
            "lanes": machine.lanes,
            "macs_per_s": dict(machine.macs_per_s),
            "bandwidth": [list(each) for each in machine.bandwidth],
        },
    }


def _timed(job: Mapping[str, Any]) -> dict[str, Any]:
    """What ``bench_worker`` answers."""
    command, environment = bundle.child("edgebuild.kernels.bench_worker")
    answer = process.run(
        command, what=f"time {job['name']}", env=environment, stdin=json.dumps(job).encode()
    )
    samples: dict[str, Any] = json.loads(answer.stdout)
    return samples


def require_peers(against: Sequence[str]) -> None:
    """Raises E280 or E281 unless every peer is known and installed."""
    for peer in against:
        if peer not in PEERS:
            raise BENCH_PEER_UNKNOWN(
                f"there is no peer {peer!r} to measure against",
                hint=f"choose from {', '.join(sorted(PEERS))}",
            )
        package = PEERS[peer][0]
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            raise BENCH_PEER_MISSING(
                f"the package of peer {peer!r} is not installed", hint=f"pip install {name}"
            )


def _contestants(
    case: Case, built: bench_build.Built, against: Sequence[str]
) -> dict[str, dict[str, Any]]:
    ours: dict[str, Any] = {
        "path": str(built.library),
        "profile": str(built.profile),
        "card": built.card,
    }
    result = {"edgebuild": ours}
    for peer in against:
        path = case.file(PEERS[peer][1])
        if path is not None:
            result[peer] = {"path": str(path)}
    return result


def _unread(case: Case, against: Sequence[str]) -> dict[str, str]:
    """Why peers are not measured: there is no file of a format that they read."""
    formats = {peer: PEERS[peer][1] for peer in against}
    return {peer: f"reads {each}" for peer, each in formats.items() if case.file(each) is None}


def summarise(
    samples: Mapping[str, Any], card: Mapping[str, Any], machine: Machine
) -> dict[str, Any]:
    """One model's row: statistics of each contestant, of each layer, and the ratios."""
    runtimes = {
        name: statistic(each, samples["walls_ns"][name])
        for name, each in samples["samples_ns"].items()
    }
    ours = runtimes["edgebuild"]["median_s"]
    operations = 2 * card["macs"]
    layers = _layers(samples["layers_ns"], card, machine)
    return {
        "name": samples["name"],
        "macs": card["macs"],
        "weights_bytes": card["weights_bytes"],
        "arena_bytes": card["arena_bytes"],
        "bytes_moved": sum(each["bytes_moved"] for each in card["operators"]),
        "footprint_bytes": roofline.footprint(card["operators"]),
        "runtimes": {
            name: {**each, "operations_per_s": operations / each["median_s"]}
            for name, each in runtimes.items()
        },
        "difference": samples["difference"],
        "absent": samples["absent"],
        "speedup": _speedup(runtimes, "median_s"),
        "speedup_min": _speedup(runtimes, "min_s"),
        "roofline_share": _at_best(card, machine) / ours,
        "predicted_s": sum(each["predicted_s"] for each in layers),
        "layers": layers,
    }


def _speedup(runtimes: Mapping[str, Mapping[str, float]], by: str) -> float | None:
    peers = [each[by] for name, each in runtimes.items() if name != "edgebuild"]
    return min(peers) / runtimes["edgebuild"][by] if peers else None


def statistic(samples_ns: Sequence[float], walls_ns: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of a thread's own time, shortest of the wall's, in seconds.

    A single sample of own time can be too short (harness.c says why), one of the wall's cannot.
    """
    ordered = sorted(samples_ns)
    return {
        "median_s": statistics.median(ordered) / 1e9,
        "p99_s": ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))] / 1e9,
        "min_s": min(walls_ns) / 1e9,
        "samples": len(ordered),
    }


def _at_best(card: Mapping[str, Any], machine: Machine) -> float:
    whole = roofline.footprint(card["operators"])
    return sum(roofline.at_best(each, machine, whole) for each in card["operators"])


def _layers(
    rounds: Sequence[Sequence[float]], card: Mapping[str, Any], machine: Machine
) -> list[dict[str, Any]]:
    whole = roofline.footprint(card["operators"])
    rows = []
    for operator, samples in zip(card["operators"], zip(*rounds, strict=True), strict=True):
        spent = statistic(samples, samples)
        predicted, bound = roofline.operator_time(operator, machine, whole)
        best = roofline.at_best(operator, machine, whole)
        rows.append(
            {
                **{key: operator[key] for key in roofline.FACTS if key in operator},
                **spent,
                "operations_per_s": 2 * operator["macs"] / max(spent["median_s"], 1e-12),
                "predicted_s": predicted,
                "bound": bound,
                "roofline_share": best / max(spent["median_s"], 1e-12),
            }
        )
    return rows


def _geometric_mean(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    speedups = [each[key] for each in rows if each[key] is not None]
    return statistics.geometric_mean(speedups) if speedups else None

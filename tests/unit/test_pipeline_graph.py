# SPDX-License-Identifier: Apache-2.0
"""The plan on SCons: real SCons, real child processes, the smallest real step (the fit)."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError
from edgebuild.model.plan import Plan, Step
from edgebuild.pipeline import graph, publish, steps, work
from edgebuild.planning.plan import profile_bytes

ROOT = Path(__file__).resolve().parents[2]


def facts(weights: int) -> dict[str, object]:
    return {"name": "m", "weights_bytes": weights, "arena_bytes": 1, "operators": []}


def folder(tmp_path: Path, weights: int = 10) -> Path:
    """A work folder whose plan is one fit."""
    place = tmp_path / "work"
    (place / "facts").mkdir(parents=True)
    (place / "inputs").mkdir()
    profile = profiles.load("rpi4", ROOT / "targets")
    (place / "inputs/profile.json").write_bytes(profile_bytes(profile))
    (place / "facts/m.json").write_text(json.dumps(facts(weights)))
    step = Step(
        name="fit",
        kind="fit",
        title="check that it fits",
        sources=("inputs/profile.json", "facts/m.json"),
        outputs=("fit.json",),
    )
    plan = Plan(target="rpi4", version="0", inputs={}, lock="", steps=(step,))
    (place / "plan.json").write_text(json.dumps(plan.to_json()))
    return place


def run(place: Path, cache: Path | None = None) -> list[str]:
    told: list[graph.StepEvent] = []
    events = graph.run(place, jobs=2, step_cache=cache, extra={}, tell=told.append)
    assert told == events
    return [event.what for event in events]


def test_a_step_runs_once_and_again_only_if_an_input_changed(tmp_path: Path) -> None:
    place = folder(tmp_path)
    assert run(place) == ["start", "done"]
    assert json.loads((place / "fit.json").read_text())["target"] == "rpi4"
    assert run(place) == []
    (place / "facts/m.json").write_text(json.dumps(facts(11)))
    assert run(place) == ["start", "done"]
    (place / "fit.json").unlink()
    assert run(place) == ["start", "done"]


def test_another_folder_takes_the_result_from_the_shared_cache(tmp_path: Path) -> None:
    cache = tmp_path / "there" / "is" / "none" / "yet"
    first = folder(tmp_path / "a")
    assert run(first, cache) == ["start", "done"]
    second = folder(tmp_path / "b")
    assert run(second, cache) == ["cached"]
    assert (second / "fit.json").read_bytes() == (first / "fit.json").read_bytes()


def test_a_damaged_cache_entry_is_rebuilt_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = folder(tmp_path / "a")
    run(first, cache)
    entries = [p for p in cache.rglob("*") if p.is_file() and len(p.name) in (32, 40, 64)]
    assert entries
    for entry in entries:
        entry.chmod(0o644)
        entry.write_bytes(entry.read_bytes().replace(b"rpi4", b"evil"))
    second = folder(tmp_path / "b")
    assert run(second, cache) == ["start", "done"]
    assert b"evil" not in (second / "fit.json").read_bytes()


def test_a_failed_step_raises_its_own_error_with_the_way_to_run_it_alone(tmp_path: Path) -> None:
    place = folder(tmp_path, weights=1 << 40)
    with pytest.raises(EdgebuildError, match="E601") as caught:
        run(place)
    assert "edgebuild step plan.json fit" in str(caught.value.hint)
    assert not (place / "fit.json").exists()
    assert not list(place.glob(".fit-*"))


def test_a_step_that_dies_shows_its_last_lines_E010(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "facts/m.json").write_text("not JSON")
    with pytest.raises(EdgebuildError, match=r"E099|E010"):
        run(place)


def test_an_earlier_result_stays_when_the_next_run_fails(tmp_path: Path) -> None:
    place = folder(tmp_path)
    run(place)
    before = (place / "fit.json").read_bytes()
    (place / "facts/m.json").write_text(json.dumps(facts(1 << 40)))
    with pytest.raises(EdgebuildError):
        run(place)
    assert (place / "fit.json").read_bytes() == before


def test_a_missing_input_is_named_E010(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "facts/m.json").unlink()
    with pytest.raises(EdgebuildError, match="E010") as caught:
        run(place)
    assert "facts/m.json" in caught.value.message


def test_unknown_step_E011_and_unreadable_plan_E012(tmp_path: Path) -> None:
    place = folder(tmp_path)

    def no_store() -> tuple[object, object]:
        raise AssertionError("a store was opened for nothing")

    with pytest.raises(EdgebuildError, match="E011"):
        steps.run(place / "plan.json", "nothing", no_store)  # type: ignore[arg-type]
    (place / "plan.json").write_text("{}")
    with pytest.raises(EdgebuildError, match="E012"):
        work.read_plan(place / "plan.json")


def test_interrupting_leaves_no_half_written_file(tmp_path: Path) -> None:
    """Ctrl-C while SCons runs: the whole group gets SIGINT, as from a terminal."""
    place = folder(tmp_path)
    script = (
        "from pathlib import Path; from edgebuild.pipeline import graph; "
        f"graph.run(Path({str(place)!r}), jobs=1, step_cache=None, extra={{}}, "
        "tell=lambda event: print(event.what, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT / "compiler")},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"start\n"
    os.killpg(process.pid, 2)
    process.communicate()
    assert process.returncode != 0
    deadline = time.monotonic() + 20
    while list(place.glob(".fit-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(place.glob(".fit-*"))
    assert run(place) in (["start", "done"], [])


def release(tmp_path: Path, files: dict[str, bytes]) -> Path:
    place = tmp_path / "work"
    shutil.rmtree(place, ignore_errors=True)
    (place / "release").mkdir(parents=True)
    for name, data in files.items():
        (place / "release" / name).write_bytes(data)
    listing = {"files": publish.contents(place / "release")}
    (place / "release.json").write_text(json.dumps(listing))
    return place


def test_publish_replaces_the_release_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    assert publish.publish(release(tmp_path, {"a": b"1", "mcp-gateway-arm64": b"x"}), out)
    assert (out / "mcp-gateway-arm64").stat().st_mode & 0o777 == 0o755
    assert (out / "a").stat().st_mode & 0o777 == 0o644
    assert not publish.publish(tmp_path / "work", out)
    assert publish.publish(release(tmp_path, {"b": b"2"}), out)
    assert [path.name for path in out.iterdir()] == ["b"]


def test_publish_restores_what_somebody_changed(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    place = release(tmp_path, {"a": b"1"})
    publish.publish(place, out)
    (out / "a").write_bytes(b"tampered")
    assert publish.publish(place, out)
    assert (out / "a").read_bytes() == b"1"


def test_what_scons_itself_cannot_do_is_told_E010(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path)
    monkeypatch.setattr(graph.stream, "lines", lambda *_, **__: iter(["Traceback", "OSError: no"]))
    with pytest.raises(EdgebuildError, match="E010") as caught:
        run(place)
    assert "OSError: no" in caught.value.message

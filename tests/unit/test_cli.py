# SPDX-License-Identifier: Apache-2.0
"""The command line: exit statuses, JSON, errors with code, place and hint."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgebuild import cli
from edgebuild.cli import build as build_command
from edgebuild.cli import release, show
from edgebuild.cli.parser import make_parser
from edgebuild.cli.progress import Display, Progress
from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError
from edgebuild.model.plan import Plan, Step
from edgebuild.pipeline.graph import StepEvent
from edgebuild.planning import fit as fits
from tests.unit.bench_helpers import OPERATOR

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEBUILD_CACHE", str(tmp_path / "cache"))


def test_targets_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["targets"]) == 0
    assert "cortex-a72" in capsys.readouterr().out
    assert cli.main(["targets", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"x86_64", "rpi4", "riscv64"} <= {profile["name"] for profile in found}


def test_an_unknown_target_fails_with_code_place_and_hint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["plan", "--target", "rpi5"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error E001: unknown target 'rpi5'")
    assert "hint:  did you mean rpi4?" in told


def test_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--json", "--target", "rpi5"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E001"


def test_no_target_is_told_plainly_E006(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 1
    assert "no --target" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--no-such-option"])
    assert caught.value.code == 2


def test_a_plan_is_printed_without_building(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--target", "rpi4"]) == 0
    shown = capsys.readouterr().out
    assert "mcp-gateway-arm64" in shown
    assert cli.main(["plan", "--target", "rpi4", "--json"]) == 0
    first = capsys.readouterr().out
    assert cli.main(["plan", "--target", "rpi4", "--json"]) == 0
    assert capsys.readouterr().out == first
    assert str(ROOT) not in first


def test_a_defect_is_an_error_with_a_log_not_a_traceback_E099(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[str]:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(profiles, "names", broken)
    assert cli.main(["targets"]) == 70
    told = capsys.readouterr().err
    assert "Traceback" not in told
    log = Path(told.split("where: ")[1].splitlines()[0])
    assert "ZeroDivisionError: boom" in log.read_text()


def run(*arguments: str, stdout: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    source = str(Path(cli.__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "edgebuild", *arguments], check=False, text=True,
        stdout=stdout, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source, **environment},
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_no_defect_E017() -> None:
    with Path("/dev/full").open("w") as full:
        done = run("targets", stdout=full)
    assert done.returncode == 1
    assert "error E017: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_what_a_terminal_cannot_show_is_no_defect() -> None:
    done = run("targets", stdout=subprocess.PIPE, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert "rpi4" in done.stdout


def test_ctrl_c_exits_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(profiles, "names", stopped)
    assert cli.main(["targets"]) == 130
    assert "previous release" in capsys.readouterr().err


def test_completion_names_the_commands_and_is_valid_bash(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    assert "doctor" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("plan", "fit", "targets", "inspect", "verify", "run", "bench", "lock", "doctor"):
        with pytest.raises(SystemExit) as caught:
            make_parser().parse_args([name, "--help"])
        assert caught.value.code == 0
        assert f"edgebuild {name}" in capsys.readouterr().out.split("example:")[1]


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    assert cli.colour("error E1: x") == "error E1: x"
    monkeypatch.setattr("sys.stderr", Terminal())
    assert cli.colour("error E1: x") == "\x1b[1;31merror E1:\x1b[0m x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli.colour("error E1: x") == "error E1: x"


def test_verify_wants_a_key_E006(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "no --key" in capsys.readouterr().err


def test_a_folder_that_is_no_release_E014(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for command in (["run", str(tmp_path)], ["inspect", str(tmp_path)]):
        assert cli.main(command) == 1
        assert "error E014" in capsys.readouterr().err


def test_an_image_that_is_not_the_listed_one_is_not_booted_E014(tmp_path: Path) -> None:
    (tmp_path / "a.img.zst").write_bytes(b"x")
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  a.img.zst\n")
    with pytest.raises(EdgebuildError, match="E014"):
        release.require_image(tmp_path, "a.img.zst")
    with pytest.raises(EdgebuildError, match="E014"):
        release.require_image(tmp_path, "b.img.zst")


def test_options_reach_the_steps_as_settings() -> None:
    arguments = make_parser().parse_args(
        ["--mirror", "file:///m", "--offline", "--key", "k.pem", "--keyless"]
    )
    assert build_command.settings(arguments) == {
        "EDGEBUILD_MIRROR": "file:///m",
        "EDGEBUILD_OFFLINE": "1",
        "EDGEBUILD_KEY": str(Path("k.pem").absolute()),
        "EDGEBUILD_KEYLESS": "1",
    }


def test_licences_come_from_the_sbom(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    package = {"name": "zlib", "versionInfo": "1.3", "licenseDeclared": "Zlib"}
    (tmp_path / "sbom.spdx.json").write_text(json.dumps({"packages": [package]}))
    assert cli.main(["inspect", "--licences", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [{"name": "zlib", "version": "1.3", "licence": "Zlib"}]
    assert cli.main(["inspect", "--licences", str(tmp_path)]) == 0
    assert "Zlib" in capsys.readouterr().out


def plan() -> Plan:
    step = Step(name="fit", kind="fit", title="check that it fits", sources=(), outputs=("a",))
    return Plan(target="rpi4", version="0", inputs={}, lock="", steps=(step,))


def test_progress_says_what_is_done_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(quiet=False) as progress:
        tell = progress.begin(plan())
        tell(StepEvent(what="start", step="fit"))
        tell(StepEvent(what="done", step="fit", seconds=1.25))
        tell(StepEvent(what="cached", step="fit"))
    told = capsys.readouterr().err
    assert "check that it fits  (1.2 s)" in told
    assert "(cached)" in told


def test_progress_is_quiet_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=True) as progress:
        progress.begin(plan())(StepEvent(what="failed", step="fit", seconds=1.0))
    assert capsys.readouterr().err == ""


def test_progress_keeps_one_live_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress(quiet=False) as progress:
        tell = progress.begin(plan())
        tell(StepEvent(what="start", step="fit"))
        assert "check that it fits" in str(progress._status.status)
        tell(StepEvent(what="failed", step="fit", seconds=2.0))


def test_a_display_has_a_line_for_each_thing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Display(quiet=True) as display:
        display.doing("compile a")
        display.live("compile a")
    assert capsys.readouterr().err == ""
    with Display(quiet=False) as display:
        display.doing("compile a")
        display.doing("time a")
    assert capsys.readouterr().err == "  …  compile a\n  …  time a\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Display(quiet=False) as display:
        display.doing("compile b")
        display.doing("time b")
        assert display._status.status == "time b"


def built(folder: Path, *, changed: bool) -> Any:
    event = StepEvent(what="done", step="fit", seconds=1.0)
    return SimpleNamespace(
        release=folder, plan=plan(), changed=changed, events=[event] if changed else []
    )


def test_the_table_at_the_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "rpi4.img.zst").write_bytes(b"x" * 1234)
    (tmp_path / "rpi4.img.zst.sigstore.json").write_bytes(b"{}")
    show.release(built(tmp_path, changed=True), as_json=False, key="k.pub")
    shown = capsys.readouterr().out
    assert "1,234" in shown
    assert f"edgebuild verify {tmp_path} --key k.pub" in shown
    show.release(built(tmp_path, changed=False), as_json=False, key=None)
    assert "nothing changed" in capsys.readouterr().out
    show.release(built(tmp_path, changed=True), as_json=True, key=None)
    assert json.loads(capsys.readouterr().out)["steps"][0]["name"] == "fit"


def test_the_fit_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    operator = {**OPERATOR, "name": "o"}
    facts = {"name": "kws", "weights_bytes": 1, "arena_bytes": 2, "operators": [operator]}
    show.fit(fits.fit([facts], profiles.load("rpi4", ROOT / "targets")))
    shown = capsys.readouterr().out
    assert "kws: about" in shown
    assert "memory free on rpi4" in shown


def test_a_download_shows_its_bytes_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show.fetching("x", 1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show.fetching("x", 2_000_000, 2_000_000)
    assert capsys.readouterr().err == "\rx: 2.0 of 2.0 MB\n"


def test_doctor_names_each_part_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["doctor", "--offline", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == (0 if report["ok"] else 1)
    assert all(check["reason"] for check in report["checks"])
    assert cli.main(["doctor", "--offline"]) == status


def test_doctor_fails_when_the_disk_is_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    assert cli.main(["doctor", "--offline"]) == 1
    assert "✗  disk" in capsys.readouterr().out


def test_lock_check_fails_when_the_archive_is_newer_E015(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebuild.host import paths
    from edgebuild.trust import lockfile as making

    place = paths.data_dir() / "locks" / "trixie.lock.json"
    before = place.read_bytes()
    renewed = before.replace(b'"archive_date": "', b'"archive_date": "later than ', 1)
    monkeypatch.setattr(making, "make", lambda *_: renewed)
    monkeypatch.setenv("EDGEBUILD_MIRROR", "file:///nowhere")
    assert cli.main(["lock", "--check"]) == 1
    assert "error E015" in capsys.readouterr().err
    assert place.read_bytes() == before
    monkeypatch.setattr(making, "make", lambda *_: before)
    assert cli.main(["lock", "--check"]) == 0
    assert "is up to date" in capsys.readouterr().out
    assert cli.main(["lock", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False

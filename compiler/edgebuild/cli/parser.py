# SPDX-License-Identifier: Apache-2.0
"""The grammar of the command line; docs/reference/cli.md is generated from it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import edgebuild

EXAMPLES = """examples:
  edgebuild --target rpi4                               a release with the demo model
  edgebuild --target rpi4 --model kws.tflite            with your own model
  edgebuild plan --target riscv64 --model kws.tflite    what would be done
  edgebuild verify dist/rpi4 --key release.pub          check a release, offline
  edgebuild run dist/rpi4                               boot it in QEMU

exit status: 0 done, 1 failed, 2 wrong usage, 3 verification failed, 4 does not fit,
             70 defect of edgebuild, 130 stopped"""


MOST_THREADS = 64


def _threads(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{number} is not between 1 and {MOST_THREADS}")
    return number


def _command_of(module: str, function: str) -> Callable[[argparse.Namespace], int | None]:
    """What runs a command; its module is imported when it runs, so that no other pays for it."""

    def run(arguments: argparse.Namespace) -> int | None:
        command = getattr(import_module(f"edgebuild.cli.{module}"), function)
        result: int | None = command(arguments)
        return result

    return run


def make_parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    parser = argparse.ArgumentParser(
        prog="edgebuild",
        description="Build a signed release of an MCP gateway for one kind of device.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgebuild {edgebuild.__version__}")
    _build_options(parser)
    parser.set_defaults(run=_command_of("build", "build"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _planning_commands(commands)
    _release_commands(commands)
    _bench_command(commands)
    _other_commands(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(
    commands: Commands, name: str, help_text: str, example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    return parser


def _request_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target", metavar="NAME", help="a target (see `edgebuild targets`) or your profile.toml"
    )
    parser.add_argument(
        "--model",
        metavar="FILE",
        action="append",
        type=Path,
        help=".tflite or .onnx; may be repeated; without it, the demo model",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the gateway's mcp-edge.toml")
    parser.add_argument("--key", metavar="PEM", type=Path, help="ECDSA P-256 key to sign with")
    parser.add_argument(
        "--keyless", action="store_true", help="sign with the identity of this CI job (Sigstore)"
    )
    parser.add_argument(
        "--builder-id",
        metavar="URI",
        help="who builds, for the provenance; a policy can ask for it",
    )
    parser.add_argument(
        "--insecure-debug-shell",
        action="store_true",
        help="put a root shell on the console into the firmware; never ship it",
    )


def _source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mirror", metavar="URL", help="Debian mirror; default: apt's settings")
    parser.add_argument("--offline", action="store_true", help="use the cache alone")


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    _request_options(parser)
    _source_options(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("dist"), help="default: dist"
    )
    parser.add_argument(
        "-j", "--jobs", metavar="N", type=int, default=0, help="steps at once; default: all cores"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="do every step anew, as if nothing had been built"
    )


def _planning_commands(commands: Commands) -> None:
    plan = _command(
        commands,
        "plan",
        "show the steps of a build without building",
        "edgebuild plan --target rpi4",
    )
    _request_options(plan)
    plan.set_defaults(run=_command_of("build", "plan"))
    fit = _command(
        commands,
        "fit",
        "say whether models fit a target, and how fast they can be",
        "edgebuild fit --target rpi4 --model kws.tflite",
    )
    _request_options(fit)
    fit.set_defaults(run=_command_of("examine", "fit"))
    targets = _command(commands, "targets", "list the targets", "edgebuild targets --json")
    targets.set_defaults(run=_command_of("examine", "targets"))
    inspect = _command(
        commands,
        "inspect",
        "show what is inside a model or a release",
        "edgebuild inspect kws.tflite --optimised",
    )
    inspect.add_argument(
        "what", metavar="MODEL|RELEASE", type=Path, help="a model file, or a release folder"
    )
    inspect.add_argument(
        "--optimised",
        action="store_true",
        default=False,
        help="operators before and after optimisation",
    )
    inspect.add_argument(
        "--licences",
        action="store_true",
        default=False,
        help="licences of what is linked into a release",
    )
    inspect.set_defaults(run=_command_of("examine", "inspect"))


def _release_commands(commands: Commands) -> None:
    verify = _command(
        commands,
        "verify",
        "check every byte of a release, offline",
        "edgebuild verify dist/rpi4 --key release.pub --policy policy.toml",
    )
    verify.add_argument(
        "release", metavar="DIR", type=Path, help="a release, for instance dist/rpi4"
    )
    verify.add_argument("--key", metavar="PEM", type=Path, help="the signer's public key")
    verify.add_argument(
        "--identity", metavar="URI", default=None, help="the signer of a keyless release"
    )
    verify.add_argument(
        "--issuer", metavar="URL", default=None, help="who vouches for that identity"
    )
    verify.add_argument(
        "--policy", metavar="FILE", type=Path, default=None, help="what else is required (TOML)"
    )
    verify.set_defaults(run=_command_of("release", "verify"))
    run = _command(
        commands, "run", "boot a release in QEMU and answer on loopback", "edgebuild run dist/rpi4"
    )
    run.add_argument("release", metavar="DIR", type=Path, help="a release, for instance dist/rpi4")
    run.add_argument(
        "--port", metavar="N", type=int, default=None, help="loopback port; default: a free one"
    )
    run.add_argument(
        "--console", action="store_true", default=False, help="show the device's console"
    )
    run.add_argument(
        "--board", action="store_true", default=False, help="boot QEMU's model of the board itself"
    )
    _source_options(run)
    run.set_defaults(run=_command_of("release", "run"))


def _bench_command(commands: Commands) -> None:
    bench = _command(
        commands,
        "bench",
        "time a model's kernels, whole and per operator",
        "edgebuild bench --model kws.tflite --against litert,onnxruntime\n"
        "  edgebuild bench --model kws.tflite --threads 2 --json\n"
        "  edgebuild bench --target rpi4 --model kws.tflite",
    )
    bench.add_argument(
        "--model", metavar="FILE", action="append", type=Path, help="may be repeated"
    )
    bench.add_argument(
        "--against", metavar="NAMES", default=None, help="litert, onnxruntime, or both with a comma"
    )
    where = bench.add_mutually_exclusive_group()
    where.add_argument("--target", metavar="NAME", help="count instructions of this target instead")
    where.add_argument(
        "--host",
        action="store_true",
        default=False,
        help="time on this machine, with predicted times beside; the default without --target",
    )
    bench.add_argument(
        "--threads",
        metavar="N",
        type=_threads,
        default=1,
        help=f"threads of every runtime, at most {MOST_THREADS}; default: 1",
    )
    _source_options(bench)
    bench.set_defaults(run=_command_of("benchmark", "bench"))


def _other_commands(commands: Commands) -> None:
    lock = _command(
        commands,
        "lock",
        "renew the lock from the archive's signed index",
        "edgebuild lock --mirror file:///srv/debian",
    )
    _source_options(lock)
    lock.add_argument(
        "--check",
        action="store_true",
        default=False,
        help="change nothing; fail if it is out of date",
    )
    lock.set_defaults(run=_command_of("debian", "lock"))
    doctor = _command(
        commands, "doctor", "check this machine before work begins", "edgebuild doctor"
    )
    _source_options(doctor)
    doctor.set_defaults(run=_command_of("debian", "doctor"))
    step = _command(
        commands, "step", "run one step of a plan alone", "edgebuild step plan.json link"
    )
    step.add_argument("plan", metavar="PLAN", type=Path, help="plan.json of a work folder")
    step.add_argument("name", metavar="STEP", help="a step of that plan")
    step.set_defaults(run=_command_of("build", "step"))
    complete = _command(
        commands,
        "completion",
        "print shell completion",
        "edgebuild completion bash > ~/.local/share/bash-completion/completions/edgebuild",
    )
    complete.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="for this shell")
    complete.set_defaults(run=completion)


def completion(arguments: argparse.Namespace) -> None:
    """Print a completion script."""
    import shtab

    print(shtab.complete(make_parser(), shell=arguments.shell))

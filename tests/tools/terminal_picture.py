# SPDX-License-Identifier: Apache-2.0
"""Draws the README's picture of a terminal: runs real commands and keeps what they print.

``python -m tests.tools.terminal_picture`` writes docs/pictures/terminal.svg.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "pictures" / "terminal.svg"
WIDTH = 100
MAX_LINES = 26

COMMANDS = (
    "edgebuild --target rpi4 --model demo/kws.tflite",
    "edgebuild verify dist/rpi4 --key release.pub",
)


def main() -> None:
    """Run the commands and write the picture."""
    console = Console(record=True, width=WIDTH, file=sys.stderr, force_terminal=True)
    key = Path.home() / ".config/edgebuild/development-key-DO-NOT-SHIP.pub"
    for command in COMMANDS:
        console.print(Text(f"$ {command}", style="bold green"))
        arguments = command.replace("release.pub", str(key)).split()[1:]
        done = subprocess.run(
            [sys.executable, "-m", "edgebuild", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in shown(done.stderr + done.stdout):
            console.print(Text(line[:WIDTH]))
    OUT.parent.mkdir(exist_ok=True)
    console.save_svg(str(OUT), title="edgebuild", theme=MONOKAI)


def shown(text: str) -> list[str]:
    """The lines to show: what is under way is left out, and the middle of a long output."""
    lines = [line for line in text.splitlines() if "  …  " not in line]
    lines = [line for line in lines if "development-key" not in line]
    if len(lines) <= MAX_LINES:
        return lines
    return [*lines[: MAX_LINES // 2], "  ⋮", *lines[-MAX_LINES // 2 :]]


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The check that a build makes with the gateway's own code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.fake_kernels import _edge_kernels

CHECK = Path(__file__).parents[2] / "runtime/check.py"
BRIGHT = _edge_kernels.CARDS[1]


def check(tmp_path: Path, config: str, *cards: dict[str, Any]) -> tuple[int, str]:
    names = [tmp_path / "config.json"]
    names[0].write_text(config)
    for index, card in enumerate(cards):
        names.append(tmp_path / f"{index}.json")
        names[-1].write_text(json.dumps(card))
    done = subprocess.run(
        [sys.executable, CHECK, *names], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "config", ["", "{}", '{"models": {"bright": {"labels": ["a", "b", "c"]}}}']
)
def test_what_would_start_passes(config: str, tmp_path: Path) -> None:
    assert check(tmp_path, config, *_edge_kernels.CARDS) == (0, "")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "byte 1: expected a key\nwhere: "),
        (
            '{"models": {"bright": {"labels": ["a"]}}}',
            "model 'bright' has 3 classes but 1 labels\nwhere: model 0\n",
        ),
        (
            '{"gateway": {"nme": 1}}',
            "[gateway] nme is not a known key; did you mean 'name'?\nwhere: ",
        ),
    ],
)
def test_what_would_not_start_is_told(config: str, said: str, tmp_path: Path) -> None:
    code, words = check(tmp_path, config, BRIGHT)
    assert code == 1
    assert words.startswith(said)


def test_hints_are_passed_on(tmp_path: Path) -> None:
    code, words = check(tmp_path, "{}", BRIGHT, BRIGHT)
    assert code == 1
    assert words.splitlines()[2] == "hint: set tool in [models.bright]"

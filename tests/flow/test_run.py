# SPDX-License-Identifier: Apache-2.0
"""Each image boots in QEMU, and the official MCP client gets from it what LiteRT computes."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.flow.releases import MODEL_OF, MODELS, ROOT, TARGETS, edgebuild

mcp = pytest.importorskip("mcp", reason="the official MCP client is not installed")
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")

pytestmark = pytest.mark.slow


@contextmanager
def booted(release: Path) -> Iterator[str]:
    """``edgebuild run``; gives the address of its MCP endpoint, and stops it in order."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgebuild", "run", str(release), "--json"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "compiler")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("{"), line + process.communicate(timeout=60)[1]
        yield json.loads(line)["mcp"]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def expected(model: Path, values: np.ndarray[Any, Any]) -> list[int]:
    """The reference kernels' output, flat."""
    resolver = litert.OpResolverType.BUILTIN_REF
    interpreter = litert.Interpreter(str(model), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return [int(value) for value in output.ravel()]


def flat(value: Any) -> list[Any]:
    return [each for part in value for each in flat(part)] if isinstance(value, list) else [value]


async def ask(url: str, mode: str, values: list[int]) -> tuple[list[str], Any]:
    """The tools' names, and the answer of the first to these numbers."""
    async with mcp.Client(url, mode=mode) as client:
        tools = (await client.list_tools()).tools
        answer = await client.call_tool(tools[0].name, {"inputs": values})
        return [tool.name for tool in tools], answer


@pytest.mark.parametrize("target", TARGETS)
def test_it_boots_and_answers_what_litert_gives(
    release: Callable[[str], Path], target: str
) -> None:
    model = MODELS / MODEL_OF[target]
    interpreter = litert.Interpreter(str(model))
    shape = interpreter.get_input_details()[0]["shape"]
    values = np.random.default_rng(7).integers(-128, 128, size=shape, dtype=np.int8)
    with booted(release(target)) as url:
        for mode in ("auto", "legacy"):
            names, answer = asyncio.run(
                asyncio.wait_for(ask(url, mode, values.ravel().tolist()), 120)
            )
            assert len(names) == 1
            assert not answer.is_error, answer
            raw = answer.structured_content["outputs"][0]["values"]
            assert flat(raw) == expected(model, values)


def test_a_busy_port_is_an_error_E453(release: Callable[[str], Path]) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = edgebuild("run", release("x86_64"), "--port", str(port))
    assert done.returncode == 1
    assert "error E453" in done.stderr

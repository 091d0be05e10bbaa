# SPDX-License-Identifier: Apache-2.0
"""The official MCP client talks to the gateway: both eras, both transports."""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

mcp = pytest.importorskip("mcp", reason="the official MCP client is not installed")
jsonschema = pytest.importorskip("jsonschema", reason="comes with the official MCP client")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT / 'tests/tools/fake_kernels'}",
    "PATH": os.environ["PATH"],
}
COMMAND = [sys.executable, "-m", "edgegate.linux.main"]


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """The address of a gateway on a free port."""
    server = subprocess.Popen(
        [*command, "--http", "127.0.0.1:0"], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    line = server.stderr.readline()
    found = re.search(r"http://\S+", line)
    assert found, line
    yield found.group()
    server.terminate()
    assert server.wait(10) == 0
    server.stderr.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A gateway for all tests of this file."""
    with serving(COMMAND) as address:
        yield address


def stdio() -> Any:
    return mcp.StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], "--stdio"], env=ENVIRONMENT
    )


def talk(server: Any, mode: str, conversation: Any) -> Any:
    async def session() -> Any:
        async with mcp.Client(server, mode=mode) as client:
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(session(), 30))


@pytest.fixture(params=["http", "stdio"])
def server(request: pytest.FixtureRequest, url: str) -> Any:
    return url if request.param == "http" else stdio()


MODES = ["legacy", "auto", "2026-07-28"]


@pytest.mark.parametrize("mode", MODES)
def test_lists_tools_whose_schemas_are_valid(server: Any, mode: str) -> None:
    async def conversation(client: Any) -> Any:
        return await client.list_tools()

    tools = talk(server, mode, conversation).tools
    assert [tool.name for tool in tools] == [
        "infer_echo",
        "classify_bright",
        "infer_pair",
        "infer_broken",
    ]
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)


@pytest.mark.parametrize("mode", MODES)
def test_calls_a_model_with_numbers_and_with_base64(server: Any, mode: str) -> None:
    values = [(index * 37) % 256 - 128 for index in range(640)]
    raw = bytes(value & 255 for value in values)

    async def conversation(client: Any) -> Any:
        return [
            await client.call_tool("infer_echo", {"inputs": given})
            for given in (values, [values], base64.b64encode(raw).decode())
        ]

    for result in talk(server, mode, conversation):
        assert not result.is_error
        output = result.structured_content["outputs"][0]
        assert output["values"] == values
        assert output["real"] == [(value + 1) * 0.5 for value in values]
        assert json.loads(result.content[0].text) == result.structured_content


@pytest.mark.parametrize("mode", MODES)
def test_classifies_and_conforms_to_its_schema(server: Any, mode: str) -> None:
    async def conversation(client: Any) -> Any:
        tools = (await client.list_tools()).tools
        result = await client.call_tool("classify_bright", {"inputs": [127] * 48})
        return tools[1], result

    tool, result = talk(server, mode, conversation)
    jsonschema.validate(result.structured_content, tool.output_schema)
    assert result.structured_content["label"] == "light"
    assert result.structured_content["score"] == pytest.approx(228 / 256, rel=1e-5)
    assert [entry["label"] for entry in result.structured_content["top"]] == [
        "light",
        "dark",
        "medium",
    ]


@pytest.mark.parametrize("mode", MODES)
def test_reads_the_model_card(server: Any, mode: str) -> None:
    async def conversation(client: Any) -> Any:
        listed = await client.list_resources()
        templates = await client.list_resource_templates()
        return listed, templates, await client.read_resource("model://pair/card")

    listed, templates, read = talk(server, mode, conversation)
    assert "model://pair/card" in [str(resource.uri) for resource in listed.resources]
    assert templates.resource_templates == []
    assert json.loads(read.contents[0].text)["digest"].startswith("sha256:")


@pytest.mark.parametrize("mode", MODES)
def test_says_what_is_wrong_with_arguments(server: Any, mode: str) -> None:
    async def conversation(client: Any) -> Any:
        short = await client.call_tool("infer_echo", {"inputs": [1, 2, 3]})
        failed = await client.call_tool("infer_broken", {"inputs": [1]})
        with pytest.raises(mcp.MCPError) as unknown:
            await client.call_tool("infer_nothing", {})
        return short, failed, unknown.value

    short, failed, unknown = talk(server, mode, conversation)
    assert short.is_error
    assert "expected 640 numbers, got 3" in short.content[0].text
    assert failed.is_error
    assert "-7" in failed.content[0].text
    assert unknown.error.code == -32602


def test_negotiates_each_era(server: Any) -> None:
    async def conversation(client: Any) -> Any:
        return client.session.protocol_version

    assert talk(server, "auto", conversation) == "2026-07-28"
    assert talk(server, "legacy", conversation) == "2025-11-25"

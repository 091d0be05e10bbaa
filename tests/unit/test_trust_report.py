# SPDX-License-Identifier: Apache-2.0
"""The report is complete, self-contained, safe to open, and a function of its facts."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.trust import drawing, elf, report, report_page, treemap
from edgebuild.trust.drawing import Rectangle
from tests.unit.trust_report_facts import CARD, FIT, PAYLOAD, SECTIONS, elf_file, facts

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Collects tags and attributes, and checks that every element is closed in its turn."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    return report.report(facts(tmp_path))


def test_json_says_what_is_inside_and_how_large(content: dict[str, Any], tmp_path: Path) -> None:
    program = tmp_path / "mcp-gateway-arm64"
    assert [a["name"] for a in content["artifacts"]] == ["mcp-gateway-arm64", "rpi4.img.zst"]
    assert content["artifacts"][0]["sha256"] == hashlib.sha256(program.read_bytes()).hexdigest()
    assert content["image"]["bytes"] == PAYLOAD["image_bytes"]
    assert [(p["name"], p["files"]) for p in content["image"]["packages"]] == [
        ("mcp-gateway", 1),
        ("linux-image-6.12+deb13-arm64", 1),
        ("dhcpcd", 1),
        ("edgebuild", 1),
    ]
    assert content["models"][0]["memory_plan"] == CARD["memory_plan"]
    assert content["profile"]["emulator"]["machine"] == "virt"
    assert content["fit"]["memory_needed_bytes"] == FIT["memory_needed_bytes"]


def test_a_unified_kernel_image_counts_for_its_parts_and_the_rest(tmp_path: Path) -> None:
    stub, kernel = "pkg:deb/debian/stub@1?arch=amd64", "pkg:deb/debian/linux@6?arch=amd64"
    payload = {
        "files": [
            {"path": "/boot/EFI/BOOT/BOOTX64.EFI", "bytes": 1000, "package": stub},
            {"path": "/boot/#kernel", "bytes": 700, "package": kernel},
            {"path": "/boot/#initramfs", "bytes": 200, "package": "edgebuild"},
        ]
    }
    content = report.report(facts(tmp_path, payload=payload))
    packages = {row["name"]: row["bytes"] for row in content["image"]["packages"]}
    assert packages == {"linux": 700, "edgebuild": 200, "stub": 100}


def test_parts_of_the_executable_add_up_to_its_size(content: dict[str, Any]) -> None:
    program = content["executable"]
    parts = {part["name"]: part["bytes"] for part in program["parts"]}
    assert sum(parts.values()) == program["bytes"]
    assert parts["kernels"] == CARD["code_bytes"]
    assert parts["model constants"] == CARD["weights_bytes"]
    assert parts["code of gateway and runtime"] == SECTIONS[".text"] - CARD["code_bytes"]
    sizes = [part["bytes"] for part in program["parts"]]
    assert sizes == sorted(sizes, reverse=True)


def test_predictions_stand_beside_what_was_built(content: dict[str, Any]) -> None:
    rows = {row["what"]: row for row in content["predictions"]}
    assert rows["weights of kws"]["within"] is True
    assert rows["arena of kws"] == {
        "what": "arena of kws",
        "predicted_bytes": 20_000,
        "built_bytes": 24_576,
        "within": False,
    }
    assert rows["storage"]["built_bytes"] == PAYLOAD["image_bytes"]
    assert "executable without weights" in rows


def test_a_release_without_firmware_has_no_image(tmp_path: Path) -> None:
    content = report.report(facts(tmp_path, payload=None))
    assert content["image"] is None
    assert "storage" not in {row["what"] for row in content["predictions"]}
    assert "image" not in report_page.pictures(content)
    Page(report_page.page(content).decode())
    ET.fromstring(report_page.poster(content))


def test_page_loads_nothing_and_runs_nothing(content: dict[str, Any]) -> None:
    text = report_page.page(content).decode()
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {t for t, _ in page.tags}
    for _, attributes in page.tags:
        assert not {"style", "href", "src", "onload", "onclick"} & set(attributes)
    policy = next(
        a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")


def test_names_from_models_are_only_ever_text(content: dict[str, Any]) -> None:
    text = report_page.page(content).decode()
    assert "conv &lt;first&gt;" in text
    assert "<first>" not in text
    assert "Key words &amp; &lt;noise&gt;" in text


def test_page_shows_the_check_and_by_how_much_a_prediction_was_exceeded(
    content: dict[str, Any],
) -> None:
    text = report_page.page(content).decode()
    assert "(reference exact, seed 7, share 0.1235)" in text
    assert "<td>scores</td><td>yes</td><td>[0, 3]</td>" in text
    assert "4.5 KiB more than predicted" in text
    content["models"][0]["check"]["passed"] = False
    assert "not passed" in report_page.page(content).decode()


def test_page_can_be_read_without_seeing_the_pictures(content: dict[str, Any]) -> None:
    page = Page(report_page.page(content).decode())
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 4
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert attributes["aria-labelledby"]
    assert ("html", {"lang": "en"}) in page.tags
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert set(scopes) == {"row", "col"}


def test_identifiers_in_the_page_are_unique(content: dict[str, Any]) -> None:
    page = Page(report_page.page(content).decode())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) == 8


def test_pictures_are_well_formed_and_inside_their_frame(content: dict[str, Any]) -> None:
    drawn = report_page.pictures(content)
    assert set(drawn) == {"executable", "image", "memory-kws", "roofline-kws"}
    for picture in drawn.values():
        root = ET.fromstring(picture.svg())
        for shape in root.iter(f"{SVG}rect"):
            x, y = float(shape.get("x", 0)), float(shape.get("y", 0))
            assert -0.01 <= x <= x + float(shape.get("width", 0)) <= picture.width + 0.02
            assert -0.01 <= y <= y + float(shape.get("height", 0)) <= picture.height + 0.02
        for dot in root.iter(f"{SVG}circle"):
            assert 0 < float(dot.get("cx", 0)) < picture.width
            assert 0 < float(dot.get("cy", 0)) < picture.height


def test_what_is_too_small_to_see_in_the_image_is_one_box(tmp_path: Path) -> None:
    small = [{"path": f"/{n}", "bytes": 10, "package": f"pkg:deb/debian/p{n}@1"} for n in range(3)]
    payload = {**PAYLOAD, "files": [*PAYLOAD["files"], *small]}
    content = report.report(facts(tmp_path, payload=payload))
    picture = report_page.pictures(content)["image"]
    assert "4 others 120 B" in picture.description  # and the password file


def test_memory_picture_has_one_box_for_each_tensor(content: dict[str, Any]) -> None:
    picture = report_page.pictures(content)["memory-kws"]
    root = ET.fromstring(picture.svg())
    tips = [t.text for t in root.iter(f"{SVG}title")]
    assert "a: 16.0 KiB at 0, operators 0 to 1" in tips
    assert len(list(root.iter(f"{SVG}rect"))) == 3
    assert "At most 24.0 KiB are live at once; without reuse it would be 24.0 KiB" in (
        picture.description
    )


def test_roofline_shows_operators_with_arithmetic_and_names_the_slowest(
    content: dict[str, Any],
) -> None:
    picture = report_page.pictures(content)["roofline-kws"]
    root = ET.fromstring(picture.svg())
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert picture.description == (
        "2 operators with arithmetic. Slowest: 0 conv2d (150.0 µs), 2 dense (12.0 µs)."
    )


def test_operators_in_one_place_of_the_roofline_share_a_label(tmp_path: Path) -> None:
    twins = [{**FIT["models"][0]["operators"][0], "name": name} for name in "abc"]
    fit = {**FIT, "models": [{**FIT["models"][0], "operators": twins}]}
    content = report.report(facts(tmp_path, fit=fit))
    root = ET.fromstring(report_page.pictures(content)["roofline-kws"].svg())
    assert "0, 1, 2" in [label.text for label in root.iter(f"{SVG}text")]


def test_a_model_without_arithmetic_or_plan_can_be_drawn(tmp_path: Path) -> None:
    bare = {**CARD, "memory_plan": [], "macs": 0}
    fit = {**FIT, "models": [{**FIT["models"][0], "operators": []}]}
    content = report.report(facts(tmp_path, cards=[bare], fit=fit, checks={}))
    Page(report_page.page(content).decode())
    assert "Slowest: none" in report_page.pictures(content)["roofline-kws"].description


def test_report_is_a_function_of_its_facts(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "in").mkdir()
        report_page.write(facts(folder / "in"), folder / "report.json", folder / "report.html")
        made.append([(folder / f).read_bytes() for f in ("report.json", "report.html")])
        for path in (folder / "in").iterdir():
            os.utime(path, (1, 1))
    assert made[0] == made[1]
    assert json.loads(made[0][0])["format"] == 1
    assert str(tmp_path) not in made[0][1].decode()


def test_sections_are_those_of_the_file(tmp_path: Path) -> None:
    found = elf.sections(facts(tmp_path).executable)
    assert {name: found[name] for name in (".text", ".rodata", ".data", ".eh_frame")} == {
        name: size for name, size in SECTIONS.items() if name != ".bss"
    }
    assert ".bss" not in found


@given(st.data())
def test_any_bytes_have_sections_or_none(data: st.DataObject) -> None:
    whole = bytearray(elf_file())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    sizes = elf.parse(cut)
    assert all(size >= 0 for size in sizes.values())


@given(
    st.lists(st.floats(1, 1e6), min_size=1, max_size=60),
    st.floats(10, 2000),
    st.floats(10, 2000),
)
def test_treemap_fills_its_area_in_proportion(
    values: list[float], width: float, height: float
) -> None:
    values = sorted(values, reverse=True)
    area = Rectangle(x=0, y=0, width=width, height=height)
    places = treemap.layout(values, area)
    assert len(places) == len(values)
    scale = width * height / sum(values)
    for value, place in zip(values, places, strict=True):
        assert place.width * place.height == pytest.approx(value * scale, rel=1e-3)
        assert place.x >= -1e-6
        assert place.x + place.width <= width + 1e-3
        assert place.y + place.height <= height + 1e-3


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (drawing.size(512), "512 B"),
        (drawing.size(1536), "1.5 KiB"),
        (drawing.size(12 << 20), "12.0 MiB"),
        (drawing.size(3 << 40), "3072.0 GiB"),
        (drawing.quantity(950), "950"),
        (drawing.quantity(2_700_000), "2.7 M"),
        (drawing.quantity(0.1), "0.1"),
        (drawing.duration(1.23), "1.2 s"),
        (drawing.duration(0.0034), "3.4 ms"),
        (drawing.duration(1.2e-5), "12.0 µs"),
        (drawing.number(-0.001), "0"),
        (drawing.number(1.5), "1.5"),
        (drawing.fit_label("abcdefghij", 40), "abcde…"),
        (drawing.fit_label("abcdefghij", 30), ""),
        (drawing.short_name("f_1/act_2/Relu;f_1/conv2d/BiasAdd"), "act_2/Relu"),
        (drawing.short_name("scratch 1"), "scratch 1"),
    ],
)
def test_numbers_and_labels_for_people(written: str, expected: str) -> None:
    assert written == expected


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=10))
def test_log_scale_keeps_values_inside(values: list[float]) -> None:
    low, high = drawing.log_range(values)
    scale = drawing.LogScale(low=low, high=high, start=0, end=100)
    assert all(0 <= scale.at(value) <= 100 for value in values)
    assert 1 <= len(scale.ticks()) <= 30

# SPDX-License-Identifier: Apache-2.0
"""Both SBOMs are valid for the standards' own validators, complete, and a function of contents."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.trust import cyclonedx, licences, spdx
from edgebuild.trust.sbom import Component, Contents, File, archive_time

SOURCE = Component(
    name="zlib",
    version="1.3.1",
    kind="source",
    purl="pkg:deb/debian/zlib@1.3.1?arch=source",
    licence="Zlib",
)
LIBRARY = Component(
    name="zlib1g-dev",
    version="1.3.1",
    kind="library",
    purl="pkg:deb/debian/zlib1g-dev@1.3.1?arch=arm64",
    sha256="ab" * 32,
    licence="Zlib",
    source=SOURCE.purl,
    artifacts=("mcp-gateway-arm64", "rpi4.img.zst"),
)
KERNEL = Component(
    name="linux-image-6.12-arm64",
    version="6.12.48-1",
    kind="kernel",
    purl="pkg:deb/debian/linux-image-6.12-arm64@6.12.48-1?arch=arm64",
    sha256="cd" * 32,
    licence="GPL-2 and Firmware-Redistributable",
    artifacts=("rpi4.img.zst",),
    files=(File(path="boot/kernel8.img", sha256="12" * 32), File(path="a b/c", sha256="34" * 32)),
)
MODEL = Component(
    name="kws.tflite",
    version="sha256:" + "ef" * 6,
    kind="model",
    purl="pkg:generic/kws.tflite@efef",
    sha256="ef" * 32,
    artifacts=("mcp-gateway-arm64",),
)
CONTENTS = Contents(
    target="rpi4",
    version="0.1.0",
    created="2025-09-06T09:47:56Z",
    artifacts={"mcp-gateway-arm64": "01" * 32, "rpi4.img.zst": "02" * 32},
    components=(SOURCE, LIBRARY, KERNEL, MODEL),
    licence_texts={"LicenseRef-Firmware-Redistributable": "You may ship it."},
)
EVERY_KIND = dataclasses.replace(
    CONTENTS,
    components=(
        *CONTENTS.components,
        *(
            Component(name=kind, version="1", kind=kind, purl=f"pkg:generic/{kind}@1")
            for kind in ("application", "firmware", "configuration")
        ),
    ),
)


@pytest.mark.parametrize("contents", [CONTENTS, EVERY_KIND])
def test_spdx_tools_accepts_the_document(contents: Contents) -> None:
    parse = pytest.importorskip("spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser")
    validation = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    document = parse.JsonLikeDictParser().parse(json.loads(spdx.document(contents)))
    messages = validation.validate_full_spdx_document(document, "SPDX-2.3")
    assert not messages, [message.validation_message for message in messages]


@pytest.mark.parametrize("contents", [CONTENTS, EVERY_KIND])
def test_cyclonedx_s_strict_validator_accepts_the_document(contents: Contents) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(cyclonedx.document(contents).decode()) is None


def test_spdx_names_contents_digests_licences_and_origins() -> None:
    value: Any = json.loads(spdx.document(CONTENTS))
    packages = {package["name"]: package for package in value["packages"]}
    assert {"zlib", "zlib1g-dev", "kws.tflite", "mcp-gateway-arm64", "boot/kernel8.img"} <= set(
        packages
    )
    ids = {package["SPDXID"]: name for name, package in packages.items()}
    edges = {
        (ids.get(r["spdxElementId"]), r["relationshipType"], ids.get(r["relatedSpdxElement"]))
        for r in value["relationships"]
    }
    assert ("zlib1g-dev", "GENERATED_FROM", "zlib") in edges
    assert ("rpi4.img.zst", "CONTAINS", "linux-image-6.12-arm64") in edges
    assert ("linux-image-6.12-arm64", "CONTAINS", "boot/kernel8.img") in edges
    assert ("mcp-gateway-arm64", "CONTAINS", "linux-image-6.12-arm64") not in edges
    assert packages["zlib1g-dev"]["checksums"] == [
        {"algorithm": "SHA256", "checksumValue": "ab" * 32}
    ]
    assert packages["zlib1g-dev"]["licenseDeclared"] == "Zlib"
    assert packages["kws.tflite"]["licenseDeclared"] == "NOASSERTION"
    assert value["hasExtractedLicensingInfos"] == [
        {
            "licenseId": "LicenseRef-Firmware-Redistributable",
            "name": "Firmware-Redistributable",
            "extractedText": "You may ship it.",
        }
    ]


def test_cyclonedx_names_contents_digests_licences_and_origins() -> None:
    value: Any = json.loads(cyclonedx.document(CONTENTS))
    components = {component["name"]: component for component in value["components"]}
    assert components["kws.tflite"]["type"] == "machine-learning-model"
    assert components["zlib1g-dev"]["pedigree"]["ancestors"][0]["purl"] == SOURCE.purl
    assert components["zlib1g-dev"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert components["linux-image-6.12-arm64"]["licenses"][0]["expression"] == (
        "GPL-2.0-only AND LicenseRef-Firmware-Redistributable"
    )
    depends = {row["ref"]: row["dependsOn"] for row in value["dependencies"]}
    assert depends["artifact:mcp-gateway-arm64"] == [LIBRARY.purl, MODEL.purl]


def test_documents_are_functions_of_contents_alone() -> None:
    shuffled = dataclasses.replace(CONTENTS, components=CONTENTS.components[::-1])
    other = dataclasses.replace(CONTENTS, artifacts={**CONTENTS.artifacts, "x": "03" * 32})
    for write in (spdx.document, cyclonedx.document):
        assert write(CONTENTS) == write(shuffled)
        assert write(CONTENTS) != write(other)
    serial = json.loads(cyclonedx.document(CONTENTS))["serialNumber"]
    assert serial != json.loads(cyclonedx.document(other))["serialNumber"]
    assert serial[len("urn:uuid:") + 14] == "8"  # RFC 9562: version 8


def test_the_time_is_the_archive_s() -> None:
    assert archive_time("Sat, 06 Sep 2025 09:47:56 UTC") == "2025-09-06T09:47:56Z"


@pytest.mark.parametrize(
    "component",
    [
        dataclasses.replace(MODEL, name=""),
        dataclasses.replace(MODEL, version=""),
        dataclasses.replace(MODEL, purl="kws"),
        dataclasses.replace(MODEL, kind="thing"),
        dataclasses.replace(MODEL, sha256="AB" * 32),
        dataclasses.replace(MODEL, files=(File(path="x", sha256="1"),)),
        dataclasses.replace(MODEL, artifacts=("other",)),
        dataclasses.replace(MODEL, source="pkg:generic/absent@1"),
        dataclasses.replace(LIBRARY, name="twice"),
    ],
)
def test_e508_for_a_component_that_would_leave_a_hole(component: Component) -> None:
    with pytest.raises(EdgebuildError) as raised:
        dataclasses.replace(CONTENTS, components=(SOURCE, LIBRARY, component))
    assert raised.value.kind.code == "E508"


def test_e508_for_a_date_that_is_none() -> None:
    with pytest.raises(EdgebuildError) as raised:
        archive_time("yesterday")
    assert raised.value.kind.code == "E508"


@pytest.mark.parametrize(
    ("declared", "expression"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("", "NOASSERTION"),
        ("NOASSERTION", "NOASSERTION"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1+ and (BSD-3-clause or Expat)",
         "LGPL-2.1-or-later AND (BSD-3-Clause OR LicenseRef-Expat)"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2-with-OpenSSL-exception"),
        ("(MIT", "LicenseRef-MIT"),
        ("MIT BSD", "LicenseRef-MIT-BSD"),
        ("MIT AND", "LicenseRef-MIT-AND"),
        ("LicenseRef-x", "LicenseRef-x"),
        ("???", "LicenseRef-unnamed"),
        ("(" * 40 + "MIT" + ")" * 40, "LicenseRef-" + ("(" * 40 + "MIT").replace("(", "")),
    ],
)  # fmt: skip
def test_licences_as_packages_declare_them(declared: str, expression: str) -> None:
    assert licences.parse(declared).expression == expression


@functools.cache
def spdx_licensing() -> Any:
    return pytest.importorskip("license_expression").get_spdx_licensing()


@given(st.text(alphabet="()ANDORWITHandmixGPL-23.+ /*é", max_size=60))
def test_any_declared_licence_becomes_a_valid_expression(declared: str) -> None:
    licensing = spdx_licensing()
    licence = licences.parse(declared)
    references = {name for name, _ in licence.references}
    for symbol in licensing.parse(licence.expression).symbols:
        key = str(symbol.key)
        assert key in references or key in licensing.known_symbols or key == "NOASSERTION"


def test_a_licence_text_that_nobody_gave_is_pointed_to() -> None:
    bare = dataclasses.replace(CONTENTS, licence_texts={})
    value: Any = json.loads(spdx.document(bare))
    assert "Firmware-Redistributable" in value["hasExtractedLicensingInfos"][0]["extractedText"]

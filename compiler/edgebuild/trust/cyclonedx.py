# SPDX-License-Identifier: Apache-2.0
"""CycloneDX 1.6 as JSON. Source: cyclonedx.org/docs/1.6/json.

The release is the subject; artifacts and components are listed flat and joined by dependencies;
a component's source is its ancestor in the pedigree. The serial number is a function of the
contents, and there is no timestamp.
"""

from __future__ import annotations

import uuid

from edgebuild.trust import canonical, licences
from edgebuild.trust.sbom import Component, Contents

_TYPES = {
    "library": "library",
    "application": "application",
    "source": "library",
    "model": "machine-learning-model",
    "kernel": "operating-system",
    "firmware": "firmware",
    "configuration": "file",
}

Json = dict[str, object]


def document(contents: Contents) -> bytes:
    """The document's bytes; equal contents give equal bytes."""
    components = contents.sorted_components()
    sources = {c.purl: c for c in components if c.kind == "source"}
    root = f"release:{contents.target}"
    listed = [_artifact(name, contents) for name in sorted(contents.artifacts)]
    listed += [_component(c, sources) for c in components if c.kind != "source"]
    return canonical.document(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{_uuid(contents.digest())}",
            "version": 1,
            "metadata": {
                "tools": {
                    "components": [
                        {"type": "application", "name": "edgebuild", "version": contents.version}
                    ]
                },
                "component": {
                    "type": "firmware",
                    "bom-ref": root,
                    "name": f"edgebuild-{contents.target}",
                    "version": contents.version,
                },
            },
            "components": listed,
            "dependencies": _dependencies(root, contents, components),
        }
    )


def _artifact(name: str, contents: Contents) -> Json:
    return {
        "type": "file",
        "bom-ref": f"artifact:{name}",
        "name": name,
        "hashes": [_hash(contents.artifacts[name])],
    }


def _component(component: Component, sources: dict[str, Component]) -> Json:
    value = _described(component)
    source = sources.get(component.source)
    if source is not None:
        value["pedigree"] = {"ancestors": [_described(source)]}
    if component.files:
        value["components"] = [
            {
                "type": "file",
                "bom-ref": f"{component.purl}#{file.path}",
                "name": file.path,
                "hashes": [_hash(file.sha256)],
            }
            for file in sorted(component.files, key=lambda file: file.path)
        ]
    return value


def _described(component: Component) -> Json:
    value: Json = {
        "type": _TYPES[component.kind],
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if component.kind != "source":  # one source may be the ancestor of many: no shared reference
        value["bom-ref"] = component.purl
    if component.sha256:
        value["hashes"] = [_hash(component.sha256)]
    expression = licences.parse(component.licence).expression
    if expression != licences.NO_ASSERTION:
        value["licenses"] = [{"expression": expression, "acknowledgement": "declared"}]
    return value


def _dependencies(root: str, contents: Contents, components: list[Component]) -> list[Json]:
    inside: dict[str, list[str]] = {name: [] for name in sorted(contents.artifacts)}
    for component in components:
        for name in component.artifacts:
            inside[name].append(component.purl)
    rows: list[Json] = [{"ref": root, "dependsOn": [f"artifact:{name}" for name in inside]}]
    rows += [{"ref": f"artifact:{name}", "dependsOn": refs} for name, refs in inside.items()]
    return rows


def _hash(sha256: str) -> Json:
    return {"alg": "SHA-256", "content": sha256}


def _uuid(digest: str) -> uuid.UUID:
    """A version 8 UUID (RFC 9562): its bits are the contents' digest."""
    bits = int(digest[:32], 16)
    bits = bits & ~(0xF << 76) | 8 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return uuid.UUID(int=bits)

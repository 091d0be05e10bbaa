# SPDX-License-Identifier: Apache-2.0
"""SPDX 2.3 as JSON. Source: spdx.github.io/spdx-spec/v2.3 and its JSON schema.

The release describes itself as one package that contains its artifacts; an artifact contains
components; a component is generated from its source. Files of an image are packages of purpose
FILE, because SPDX's own file entries demand SHA-1.
"""

from __future__ import annotations

import hashlib

from edgebuild.trust import canonical, licences
from edgebuild.trust.sbom import Component, Contents, File

NONE = licences.NO_ASSERTION

_PURPOSES = {
    "library": "LIBRARY",
    "application": "APPLICATION",
    "source": "SOURCE",
    "model": "OTHER",
    "kernel": "OPERATING-SYSTEM",
    "firmware": "FIRMWARE",
    "configuration": "FILE",
}
_ROOT = "SPDXRef-release"

Json = dict[str, object]


def document(contents: Contents) -> bytes:
    """The document's bytes; equal contents give equal bytes."""
    components = contents.sorted_components()
    parsed = {c.purl: licences.parse(c.licence) for c in components}
    packages = [_release(contents)]
    packages += [_artifact(name, contents) for name in sorted(contents.artifacts)]
    for component in components:
        packages.append(_package(component, parsed[component.purl].expression))
        packages += [_file(component, file) for file in _files(component)]
    references = dict(r for licence in parsed.values() for r in licence.references)
    value: Json = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"edgebuild-{contents.target}",
        "documentNamespace": f"urn:edgebuild:sbom:spdx:{contents.digest()}",
        "creationInfo": {
            "created": contents.created,
            "creators": [f"Tool: edgebuild-{contents.version}"],
            "comment": "The time is that of the locked Debian archive, not of the build.",
        },
        "documentDescribes": [_ROOT],
        "packages": packages,
        "relationships": _relationships(contents, components),
    }
    if references:
        value["hasExtractedLicensingInfos"] = [
            _extracted(ref, references[ref], contents) for ref in sorted(references)
        ]
    return canonical.document(value)


def _release(contents: Contents) -> Json:
    purl = f"pkg:generic/edgebuild-{contents.target}@{contents.version}"
    return {
        **_common(_ROOT, f"edgebuild-{contents.target}", contents.version, NONE),
        "primaryPackagePurpose": "FIRMWARE",
        "externalRefs": [_purl(purl)],
    }


def _artifact(name: str, contents: Contents) -> Json:
    return {
        **_common(_artifact_id(name), name, contents.version, NONE),
        "packageFileName": name,
        "primaryPackagePurpose": "FILE",
        "checksums": [_checksum(contents.artifacts[name])],
    }


def _package(component: Component, licence: str) -> Json:
    package = _common(_component_id(component), component.name, component.version, licence)
    package["primaryPackagePurpose"] = _PURPOSES[component.kind]
    package["externalRefs"] = [_purl(component.purl)]
    if component.sha256:
        package["checksums"] = [_checksum(component.sha256)]
    return package


def _file(component: Component, file: File) -> Json:
    return {
        **_common(_file_id(component, file), file.path, component.version, NONE),
        "packageFileName": file.path,
        "primaryPackagePurpose": "FILE",
        "checksums": [_checksum(file.sha256)],
    }


def _common(spdx_id: str, name: str, version: str, licence: str) -> Json:
    return {
        "SPDXID": spdx_id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": licence,
        "copyrightText": NONE,
    }


def _relationships(contents: Contents, components: list[Component]) -> list[Json]:
    edges = [("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT)]
    edges += [(_ROOT, "CONTAINS", _artifact_id(name)) for name in sorted(contents.artifacts)]
    ids = {component.purl: _component_id(component) for component in components}
    for component in components:
        own = ids[component.purl]
        for name in sorted(component.artifacts):
            edges.append((_artifact_id(name), "CONTAINS", own))
        if component.source:
            edges.append((own, "GENERATED_FROM", ids[component.source]))
        edges += [(own, "CONTAINS", _file_id(component, file)) for file in _files(component)]
    return [
        {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
        for one, kind, other in edges
    ]


def _extracted(reference: str, declared: str, contents: Contents) -> Json:
    return {
        "licenseId": reference,
        "name": declared,
        "extractedText": contents.licence_texts.get(
            reference, f"Declared as: {declared}. The text is in the package's copyright file."
        ),
    }


def _files(component: Component) -> list[File]:
    return sorted(component.files, key=lambda file: file.path)


def _checksum(sha256: str) -> Json:
    return {"algorithm": "SHA256", "checksumValue": sha256}


def _purl(purl: str) -> Json:
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }


def _component_id(component: Component) -> str:
    return f"SPDXRef-component-{_short(component.purl)}"


def _file_id(component: Component, file: File) -> str:
    return f"SPDXRef-file-{_short(component.purl + ' ' + file.path)}"


def _artifact_id(name: str) -> str:
    return f"SPDXRef-artifact-{_short(name)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

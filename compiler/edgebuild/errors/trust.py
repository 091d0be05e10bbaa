# SPDX-License-Identifier: Apache-2.0
"""E5xx signatures, attestations and verification."""

from __future__ import annotations

from edgebuild.errors.base import code

KEY_UNUSABLE = code(
    "E501",
    "the key cannot be used",
    "The file is missing, is not PEM, or holds something other than an ECDSA P-256 key. Make one "
    "with `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8`.",
)
KEY_EXPOSED = code(
    "E502",
    "the private key can be read by others",
    "A signing key must be readable by its owner alone: `chmod 600 KEY`.",
)
KEY_PASSWORD = code(
    "E503",
    "the key's password is missing or wrong",
    "The PEM file is encrypted. Its password is taken from EDGEBUILD_KEY_PASSWORD or from a "
    "prompt, never from the command line, where other users could read it.",
)
POLICY_INVALID = code(
    "E504",
    "the policy file is not valid",
    "A policy is a small TOML file; docs/guide/verify.md lists its keys. An unknown key is an "
    "error, because a mistyped requirement would otherwise be no requirement.",
)
KEYLESS_UNAVAILABLE = code(
    "E505",
    "keyless signing or verification is not possible here",
    "Keyless signing needs the extra `edgebuild[keyless]`, a CI job with an ambient OpenID "
    "identity (on GitHub: `permissions: id-token: write`) and the network. Verification needs the "
    "extra and Sigstore's trusted root, fetched once.",
)
RELEASE_MALFORMED = code(
    "E506",
    "the folder cannot be sealed as a release",
    "A release is a flat folder of ordinary files with plain names. Folders, links, reserved "
    "names and empty releases are refused before anything is signed.",
)
VERIFICATION_FAILED = code(
    "E507",
    "the release does not verify",
    "At least one check failed: a byte was changed, a file is missing or extra, the key is not "
    "the signer's, or the policy asks for something else. Do not install it.",
    exit_status=3,
)
COMPONENT_INVALID = code(
    "E508",
    "an SBOM cannot be made of this component",
    "A component has no name, no version, or a digest or licence expression that SPDX cannot "
    "express. An SBOM with a hole in it would look complete, so none is written.",
)
NOT_A_RELEASE = code(
    "E509",
    "this is not a release",
    "The folder is missing or has no SHA256SUMS: nothing in it claims to be a release.",
    exit_status=3,
)

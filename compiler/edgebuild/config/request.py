# SPDX-License-Identifier: Apache-2.0
"""From what a user typed to a ``BuildRequest``: files read, digested and named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgebuild.config import gateway, profiles
from edgebuild.errors.general import INVALID_VALUE, SAME_NAME, UNREADABLE_FILE
from edgebuild.host.files import digest
from edgebuild.model import naming
from edgebuild.model.request import BuildRequest, ModelFile

FORMATS = (".tflite", ".onnx")


def read(
    target: str,
    models: Sequence[Path],
    config: Path | None,
    *,
    data: Path,
    signer: str,
    builder: str = "",
    debug_shell: bool = False,
) -> BuildRequest:
    """Check everything that was named before work begins. Raises E001 to E006 and E013."""
    profile = profiles.load(target, data / "targets")
    files = tuple(model_file(path) for path in models)
    names = [file.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise SAME_NAME(
                f"two models are called '{name}'",
                where=", ".join(str(f.path) for f in files if f.name == name),
                hint="rename one of the files",
            )
    canonical = gateway.canonical({})
    if config is not None:
        schema = json.loads((data / "runtime/edgegate/config.schema.json").read_bytes())
        canonical = gateway.load(config, schema, names)
    return BuildRequest(
        profile=profile,
        models=files,
        config=canonical,
        signer=signer,
        builder=builder,
        debug_shell=debug_shell,
    )


def model_file(path: Path) -> ModelFile:
    """Digest and name one model file. Raises E002 or E006."""
    if path.suffix.lower() not in FORMATS:
        raise INVALID_VALUE(
            f"'{path.name}' is not a model that edgebuild reads",
            where=str(path),
            hint=f"known formats: {', '.join(FORMATS)}",
        )
    try:
        return ModelFile(
            name=naming.identifier(path),
            path=path,
            sha256=digest(path),
            size_bytes=path.stat().st_size,
        )
    except OSError as error:
        raise UNREADABLE_FILE(
            f"cannot read {path.name}: {error.strerror}", where=str(path)
        ) from error

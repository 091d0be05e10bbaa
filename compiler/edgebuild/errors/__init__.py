# SPDX-License-Identifier: Apache-2.0
"""Every error that a user can see: one code, one place, one way out (docs/reference/errors.md).

Libraries raise ``EdgebuildError``; ``cli`` alone prints it and exits. A code is made once, in the
module of its range, and called to make the exception:

    raise UNKNOWN_TARGET("there is no target 'rpi5'", hint="did you mean 'rpi4'?")
"""

from __future__ import annotations

# Every range enters its codes in the catalogue when it is imported.
from edgebuild.errors import general, images, inputs, kernels, planning, runtimes, trust
from edgebuild.errors.base import CATALOGUE, Code, EdgebuildError, code

_RANGES = (general, inputs, kernels, runtimes, images, trust, planning)

__all__ = ["CATALOGUE", "Code", "EdgebuildError", "code"]

# SPDX-License-Identifier: Apache-2.0
"""From an imported graph to the calls that are compiled: the passes, in order."""

from __future__ import annotations

from edgebuild.kernels.calls import Lowered
from edgebuild.kernels.fusion import fuse
from edgebuild.kernels.lowering import lower
from edgebuild.model.graph import Graph


def optimise(graph: Graph) -> Lowered:
    return fuse(lower(graph))

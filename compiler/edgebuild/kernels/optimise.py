# SPDX-License-Identifier: Apache-2.0
"""From an imported graph to the calls that are compiled: the passes, in order."""

from __future__ import annotations

from edgebuild.kernels.calls import Lowered
from edgebuild.kernels.fold import fold, prune
from edgebuild.kernels.fusion import fuse
from edgebuild.kernels.layout import propagate
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.order import order
from edgebuild.kernels.recognise import recognise
from edgebuild.kernels.requantise import requantise
from edgebuild.kernels.simplify import simplify
from edgebuild.model.graph import Graph


def optimise(graph: Graph) -> Lowered:
    """Every pass keeps what the graph computes; integers stay equal bit for bit."""
    return order(fuse(lower(rewrite(graph))))


def rewrite(graph: Graph) -> Graph:
    """The passes over operators."""
    found = propagate(simplify(recognise(prune(fold(graph)))))
    return prune(simplify(prune(requantise(prune(simplify(found))))))

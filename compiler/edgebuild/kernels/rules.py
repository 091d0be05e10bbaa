# SPDX-License-Identifier: Apache-2.0
"""The table: which rule lowers which kind of operator."""

from __future__ import annotations

from edgebuild.kernels import rules_contraction, rules_layout, rules_reduction, rules_scalar
from edgebuild.kernels.lowering import Rule

RULES: dict[str, Rule] = {
    **rules_contraction.RULES,
    **rules_layout.RULES,
    **rules_reduction.RULES,
    **rules_scalar.RULES,
}

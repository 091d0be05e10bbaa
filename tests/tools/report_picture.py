# SPDX-License-Identifier: Apache-2.0
"""Writes the README's picture of a report: ``python -m tests.tools.report_picture dist/rpi4``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgebuild.trust.report_page import poster

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "report.svg"


def main() -> None:
    """Draw the report of the release that is named on the command line."""
    content = json.loads((Path(sys.argv[1]) / "report.json").read_bytes())
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(poster(content))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""``python -m edgebuild``."""

from edgebuild.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

# SPDX-License-Identifier: Apache-2.0
"""Settings that every test shares."""

import os
from pathlib import Path

os.environ.setdefault("EDGEBUILD_TEST_MODELS", str(Path(__file__).parent / "models"))

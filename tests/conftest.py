# SPDX-License-Identifier: Apache-2.0
"""Settings that every test shares."""

import os
import signal
from pathlib import Path

from hypothesis import settings

os.environ.setdefault("EDGEBUILD_TEST_MODELS", str(Path(__file__).parent / "models"))

# A shell that starts tests in the background has them ignore SIGINT; some test what it does.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a shared machine. With CI set, hypothesis repeats
# itself exactly.
settings.register_profile("shared machine", settings.get_profile("default"), deadline=None)
if "CI" not in os.environ:
    settings.load_profile("shared machine")

# SPDX-License-Identifier: Apache-2.0
"""Settings that every test shares."""

import os
import signal
from pathlib import Path

os.environ.setdefault("EDGEBUILD_TEST_MODELS", str(Path(__file__).parent / "models"))

# A shell that starts tests in the background has them ignore SIGINT; some test what it does.
signal.signal(signal.SIGINT, signal.default_int_handler)

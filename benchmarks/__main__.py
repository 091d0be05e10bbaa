# SPDX-License-Identifier: Apache-2.0
"""``make bench``: the tables that need no arguments. Each has a module of its own."""

import subprocess
import sys

TABLES = (
    [sys.executable, "-m", "benchmarks.build"],
    [sys.executable, "-m", "benchmarks.counts"],
    [sys.executable, "-m", "benchmarks.history"],
    [sys.executable, "-m", "pytest", "-q", "benchmarks", "--benchmark-autosave"],
)

for command in TABLES:
    print("──", " ".join(command[1:]), flush=True)
    subprocess.run(command, check=False)

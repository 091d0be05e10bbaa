# SPDX-License-Identifier: Apache-2.0
"""The gateway without input and output: protocol, tensors, configuration.

Everything here is written in the portable dialect (`tests/portable/test_dialect.py` enforces it),
so that CPython, Cython's machine code and MicroPython run the same text to the same bytes.
"""

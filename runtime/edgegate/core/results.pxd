# SPDX-License-Identifier: Apache-2.0
# C types for results.py where Cython compiles it; the Python source is the truth.
cimport cython

@cython.locals(octet="unsigned char", pieces=list)
cpdef str joined(list texts, bytes data)

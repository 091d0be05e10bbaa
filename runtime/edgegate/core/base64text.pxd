# SPDX-License-Identifier: Apache-2.0
# C types for base64text.py where Cython compiles it; the Python source is the truth.
cimport cython

@cython.locals(char=Py_UCS4)
cpdef bint in_alphabet(str text) except -1

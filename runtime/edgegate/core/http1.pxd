# SPDX-License-Identifier: Apache-2.0
# C types for http1.py where Cython compiles it; the Python source is the truth.
cimport cython

@cython.locals(octet="unsigned char", previous="unsigned char")
cpdef object check_octets(bytes head)

@cython.locals(char=Py_UCS4)
cpdef bint is_token(str text) except -1

@cython.locals(
    headers=dict, index=Py_ssize_t, colon=Py_ssize_t, line=str, name=str, value=str,
)
cpdef dict parse_fields(list lines)

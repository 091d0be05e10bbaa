# SPDX-License-Identifier: Apache-2.0
# C types for tensors.py where Cython compiles it; the Python source is the truth.
cimport cython

@cython.locals(count=Py_ssize_t, index=Py_ssize_t, packed=bytearray, small=long, value=object)
cpdef bytes pack_octets(list values, long low, long high)

@cython.locals(index=Py_ssize_t, value=object, real=double)
cpdef Py_ssize_t check_reals(list values, double limit) except -1

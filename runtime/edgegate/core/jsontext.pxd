# SPDX-License-Identifier: Apache-2.0
# C types for jsontext.py where Cython compiles it; the Python source is the truth.
cimport cython

cdef Py_ssize_t MAX_NUMBER_CHARS, MAX_EXACT_CHARS
cdef unsigned char _QUOTE, _BACKSLASH

cdef class Reader:
    cdef bytes data
    cdef const unsigned char *octets
    cdef Py_ssize_t end
    cdef Py_ssize_t at
    cdef Py_ssize_t depth

    cpdef object document(self)
    @cython.locals(octets="const unsigned char *", at=Py_ssize_t)
    cdef Py_ssize_t space(self) except -1
    @cython.locals(octet="unsigned char")
    cdef object value(self)
    cdef object word(self, bytes text, object value)
    cdef Py_ssize_t enter(self) except -1
    cdef Py_ssize_t leave(self) except -1
    @cython.locals(octet="unsigned char", items=list)
    cdef object sequence(self)
    @cython.locals(octet="unsigned char")
    cdef object mapping(self)
    @cython.locals(start=Py_ssize_t)
    cdef object member(self, dict members)
    @cython.locals(
        octets="const unsigned char *", start=Py_ssize_t, at=Py_ssize_t, first=Py_ssize_t,
        amount="unsigned long long", result=object,
    )
    cdef object number(self)
    @cython.locals(octets="const unsigned char *", point=Py_ssize_t)
    cdef object real(self, Py_ssize_t start, Py_ssize_t at, unsigned long long amount)
    @cython.locals(index=Py_ssize_t, power=double, value=double)
    cdef object fraction(
        self, Py_ssize_t start, Py_ssize_t point, Py_ssize_t stop, unsigned long long amount
    )
    @cython.locals(octets="const unsigned char *", first=Py_ssize_t)
    cdef Py_ssize_t digits(self, Py_ssize_t start, Py_ssize_t at) except -1
    @cython.locals(octets="const unsigned char *", start=Py_ssize_t, at=Py_ssize_t)
    cdef object string(self)
    cdef object utf8(self, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(octets="const unsigned char *")
    cdef object escaped(self, Py_ssize_t start, Py_ssize_t at)
    cdef object escape(self)
    cdef Py_ssize_t unit(self, Py_ssize_t at) except -1

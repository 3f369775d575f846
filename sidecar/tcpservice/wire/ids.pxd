# C types of ids.py, for its compiled form.

cimport cython

from tcpservice.wire.scan cimport Frame, is_plain, units

cdef object _STABLE
cdef int _QUOTE

cpdef bint is_stable(bytes text) except -1
cpdef bint looks_stable(bytes text) except -1
cpdef bint is_utf8(bytes text) except -1
@cython.locals(raw=bytes, at=Py_ssize_t, count=Py_ssize_t)
cpdef bytes with_id(Frame frame, Py_ssize_t start, Py_ssize_t end, bytes text)

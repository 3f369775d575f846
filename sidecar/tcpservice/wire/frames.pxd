# C types of frames.py, for its compiled form.

cimport cython

from tcpservice.wire.scan cimport Frame, cut

cdef class FrameReader:
    cdef public Py_ssize_t limit
    cdef bint _control
    cdef bytes _data
    cdef Py_ssize_t _at
    cdef Py_ssize_t _offset
    cdef bint _waits
    cdef list _later
    cdef Py_ssize_t _later_size
    cdef object _body
    cdef bint _dead

    @cython.locals(at=Py_ssize_t, items=list)
    cpdef list feed(self, bytes data, Py_ssize_t most=*)
    cdef _append(self, bytes data)
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t, data=bytes)
    cdef _take(self, list items, Py_ssize_t most)
    cdef Py_ssize_t _begin(self, bytes data, Py_ssize_t at, list items) except -1
    cdef Py_ssize_t _go_on(self, bytes data, Py_ssize_t at, list items) except -1
    cdef Py_ssize_t _fail(self, str reason, Py_ssize_t at, list items) except -1

cpdef bytes encode_frame(bytes body, Py_ssize_t units)

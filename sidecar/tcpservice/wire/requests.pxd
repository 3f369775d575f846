# C types of requests.py, for its compiled form.

cimport cython

from tcpservice.wire.scan cimport Frame, is_plain, part
from tcpservice.wire.ids cimport is_stable

cdef class Request:
    cdef public bytes pattern
    cdef public bytes id
    cdef public Py_ssize_t id_at
    cdef public Py_ssize_t id_end
    cdef public bint stable
    cdef public Py_ssize_t metadata_at
    cdef public Py_ssize_t metadata_end
    cdef public bint passable
    cdef public str foreign

cpdef Request read_request(Frame frame)
@cython.locals(raw=bytes, id_at=Py_ssize_t, id_text=bytes, stable=bint, request=Request)
cdef Request _read(Frame frame)
@cython.locals(request=Request)
cdef Request _request(bytes pattern, bytes id_text, bint stable)
@cython.locals(request=Request)
cdef Request _not_passable(str foreign)
cdef bytes _decoded(bytes text)

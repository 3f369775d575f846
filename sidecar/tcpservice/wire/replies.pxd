# C types of replies.py, for its compiled form.

cimport cython

from tcpservice.wire.scan cimport Frame, holds, part
from tcpservice.wire.ids cimport is_utf8

cdef object _OK
cdef object _RPC_EXCEPTION
cdef object _CODE_NO_HANDLER
cdef bytes _NO_HANDLER
cdef bytes _TRUE
cdef frozenset _FALSE
cdef frozenset _SURELY_TRUE

cdef class Reply:
    cdef public bytes id
    cdef public Py_ssize_t id_at
    cdef public Py_ssize_t id_end
    cdef public bint final
    cdef public object code

cpdef Reply read_reply(Frame frame)
@cython.locals(raw=bytes, id_at=Py_ssize_t, id_end=Py_ssize_t, id_text=bytes, disposed_at=Py_ssize_t, final=bint, error=bytes, failed=bint)
cdef Reply _read(Frame frame)
@cython.locals(reply=Reply)
cdef Reply _answer(bytes id_text, Py_ssize_t id_at, Py_ssize_t id_end, bint final, object code)
cdef bint _is_true(bytes text) except -1

# C types of outputs.py, for its compiled form.

cimport cython

@cython.final
cdef class Finished:
    cdef readonly str service
    cdef readonly str route
    cdef readonly str kind
    cdef readonly object code
    cdef readonly str endpoint
    cdef readonly long long attempts
    cdef readonly long long responses
    cdef readonly long long started
    cdef readonly long long ended
    cdef readonly bint mesh

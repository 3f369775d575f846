# C types of waiting.py, for its compiled form.

cimport cython

@cython.final
cdef class Waiting:
    cdef dict _callers
    cdef readonly long long count
    cdef public long long unseen

    cpdef begin_round(self)
    cpdef bint has(self, caller) except -1
    cpdef add(self, message)
    cpdef bint remove(self, message) except -1
    cpdef first(self, caller)
    cpdef list callers(self, long long most)
    cpdef had_its_turn(self, caller)
    cpdef list messages(self)

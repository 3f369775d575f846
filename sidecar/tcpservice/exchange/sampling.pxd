# C types of sampling.py, for its compiled form.

from tcpservice.rng cimport Rng

cdef long long _BILLION
cdef long long _SECOND

cdef class Sampler:
    cdef long long _per_billion
    cdef long long _to_pass

    cpdef bint take(self, Rng rng) except -1
    cdef long long _draw(self, Rng rng) except -1

cdef class Allowance:
    cdef long long _limit
    cdef long long _second
    cdef long long _taken

    cpdef bint take(self, long long now) except -1

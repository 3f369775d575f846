# C types of rng.py, for its compiled form.

cimport cython

cdef extern from *:
    ctypedef unsigned long long uint128 "unsigned __int128"  # wide enough for a product of two draws

cdef unsigned long long _MASK
cdef unsigned long long _MULTIPLIER

cdef class Rng:
    cdef unsigned long long _state

    @cython.locals(state="unsigned long long", drawn=uint128)
    cpdef unsigned long long below(self, unsigned long long limit)
    @cython.locals(half="long long")
    cpdef long long jitter(self, long long duration)

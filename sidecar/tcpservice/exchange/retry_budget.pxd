# C types of retry_budget.py, for its compiled form.

cimport cython

cdef int _SLICES

cdef class RetryBudget:
    cdef object _constraint
    cdef long long _interval
    cdef list _requests
    cdef list _retries
    cdef long long _head
    cdef long long _current
    cdef long long _slice_ends
    cdef long long _free
    cdef long long _free_since

    cpdef count_request(self, long long now)
    cpdef bint take(self, long long now) except -1
    @cython.locals(head="long long", passed="long long")
    cdef int _slice(self, long long now) except -1

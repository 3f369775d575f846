# C types of timers.py, for its compiled form.

cdef int _SHIFT

cdef class TimerOwner:
    cdef public dict timers

cdef class Timers:
    cdef dict _buckets
    cdef list _order

    cpdef set(self, TimerOwner owner, int reason, long long due)
    cpdef cancel(self, TimerOwner owner, int reason)
    cpdef cancel_all(self, TimerOwner owner)
    cpdef next_due(self)
    cpdef pop(self, long long now)
    cdef _drop_empty(self)

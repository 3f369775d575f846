# C types of acknowledging.py, for its compiled form.

cdef class DelayedAcknowledgement:
    cdef object _loop
    cdef set _read
    cdef set _read_before
    cdef object _timer

    cpdef read(self, channel)
    cpdef written(self, channel)

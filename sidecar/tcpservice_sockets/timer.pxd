# C types of timer.py, for its compiled form.

cdef class LoopTimer:
    cdef object _handle
    cdef object _loop
    cdef object _ring
    cdef readonly object due

    cpdef set(self, due)

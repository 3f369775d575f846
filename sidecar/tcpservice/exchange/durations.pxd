# C types of durations.py, for its compiled form.

cimport cython

from tcpservice.exchange.outputs cimport Finished

cdef class Series:
    cdef readonly list counts
    cdef public long long total

cdef class Durations:
    cdef tuple _bounds
    cdef readonly dict series
    cdef readonly object retries

    @cython.locals(row=Finished, labels=tuple, series=Series, duration="long long")
    cpdef add(self, list rows)

# C types of durations.py, for its compiled form.

cimport cython

from tcpservice.exchange.outputs cimport Finished

cdef class Series:
    cdef readonly list counts
    cdef public object total

cdef class Durations:
    cdef tuple _bounds
    cdef long long _bucket
    cdef long long _above
    cdef long long _up_to
    cdef Finished _last
    cdef Series _series
    cdef readonly dict series
    cdef readonly object retries

    @cython.locals(row=Finished, last=Finished, series=Series, duration="long long", spent="long long")
    cpdef add(self, list rows)
    @cython.locals(labels=tuple, series=Series)
    cdef _find_series(self, Finished row)
    @cython.locals(bounds=tuple, bucket="long long")
    cdef _find_bucket(self, long long duration)

# C types of balancer.py, for its compiled form.

cimport cython

from tcpservice.rng cimport Rng
from tcpservice.timers cimport TimerOwner

cdef class Loaded(TimerOwner):
    cdef public long long load

cdef class Balancer:
    cpdef choose(self, list endpoints, Rng rng)

cdef class LeastRequest(Balancer):
    @cython.locals(
        count="long long", drawn="long long", first="long long", step="long long", one=Loaded, other=Loaded
    )
    cpdef choose(self, list endpoints, Rng rng)

cdef class RoundRobin(Balancer):
    cdef long long _turn

    cpdef choose(self, list endpoints, Rng rng)

cdef class Random(Balancer):
    cpdef choose(self, list endpoints, Rng rng)

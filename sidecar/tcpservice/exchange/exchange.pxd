# C types of exchange.py, for its compiled form.

cimport cython

from tcpservice.exchange.admission cimport partials_exceed
from tcpservice.exchange.attempts cimport pump as pump_waiting
from tcpservice.exchange.downstream cimport receive as receive_downstream
from tcpservice.exchange.records cimport DownstreamConnection, UpstreamConnection
from tcpservice.exchange.state cimport State
from tcpservice.exchange.upstream cimport receive as receive_upstream

cdef object _PAUSED

cdef class Exchange:
    cdef readonly State _state
    cdef object _drain_since

    cpdef bint receive(self, long long conn, bytes data, long long now) except -1
    cdef _read_upstream(self, UpstreamConnection connection, bytes data, long long now)
    cdef _settle(self, long long now)
    cpdef dict writes(self)
    cpdef list commands(self)
    cpdef list notices(self)
    cpdef list finished(self)
    cpdef list spans(self)

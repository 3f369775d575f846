# C types of state.py, for its compiled form.

cimport cython

from tcpservice.exchange.records cimport FramedConnection, MessageList
from tcpservice.rng cimport Rng
from tcpservice.timers cimport TimerOwner, Timers

cdef long long _LARGEST_JOINED

cdef class State:
    cdef readonly object bounds
    cdef readonly long long most_request_bytes
    cdef readonly long long reserve
    cdef readonly long long little
    cdef readonly long long most_downstream_requests
    cdef readonly long long most_downstream_bytes
    cdef readonly long long most_partial_bytes
    cdef readonly long long most_pending
    cdef readonly long long upstream_backlog
    cdef readonly long long large_message
    cdef readonly long long congested_bytes
    cdef readonly long long congested_backlog
    cdef readonly long long retry_bytes
    cdef readonly long long traced_payload
    cdef readonly bint tracing
    cdef readonly bint strict
    cdef readonly Rng rng
    cdef readonly long long place
    cdef readonly Timers timers
    cdef readonly TimerOwner clock
    cdef readonly dict upstreams
    cdef readonly dict apps
    cdef readonly dict connections
    cdef readonly dict downstreams
    cdef readonly set opaque
    cdef public long long request_bytes
    cdef public long long partial_bytes
    cdef public long long unsent_bytes
    cdef public long long slow_readers
    cdef readonly MessageList pending
    cdef readonly MessageList silent
    cdef readonly dict unparsed
    cdef readonly dict paused
    cdef readonly dict large
    cdef public dict pump
    cdef public bint freed
    cdef public bint draining
    cdef public bint withdrawn
    cdef public long long heard
    cdef public long long last_conn
    cdef public long long last_message
    cdef public list writers
    cdef public list commands
    cdef public list notices
    cdef public list rows
    cdef public list spans
    cdef readonly dict remembered
    cdef readonly object allowance
    cdef readonly object counts
    cdef readonly set taken
    cdef dict _reported

    cpdef move(self, record, event)
    cpdef long long new_conn(self) except -1
    cpdef long long new_sequence(self) except -1
    @cython.locals(outgoing=list)
    cpdef write(self, FramedConnection connection, bytes data)
    @cython.locals(connection=FramedConnection, outgoing=list)
    cpdef dict take_writes(self)

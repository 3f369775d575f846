# C types of pool.py, for its compiled form.

cimport cython

from tcpservice.exchange.records cimport DownstreamConnection, UpstreamConnection, UpstreamEndpoint
from tcpservice.exchange.state cimport State

cpdef UpstreamConnection open_connection(State state, UpstreamEndpoint endpoint, long long slot, long long now)
@cython.locals(slot="long long", connection=UpstreamConnection)
cpdef UpstreamConnection connection_for(
    State state, UpstreamEndpoint endpoint, DownstreamConnection downstream, long long now
)
@cython.locals(size="long long", pool=list)
cdef long long _slot(UpstreamEndpoint endpoint, DownstreamConnection downstream) except -1
cdef long long _least_used(list pool) except -1
cdef bint _should_grow(UpstreamEndpoint endpoint) except -1
cdef long long _load(UpstreamConnection connection) except -1
cpdef bytes fresh_id(UpstreamConnection connection)

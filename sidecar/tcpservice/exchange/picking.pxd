# C types of picking.py, for its compiled form.

cimport cython

from tcpservice.exchange.records cimport (
    Attempt,
    DownstreamConnection,
    Message,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
)
from tcpservice.exchange.state cimport State

cdef object _MESH
cdef int _POOL
cdef object _PROBATION
cdef object _READY
cdef long long _FULL

@cython.locals(upstream=Upstream, endpoint=UpstreamEndpoint, each=UpstreamEndpoint, candidates=list)
cpdef UpstreamEndpoint pick(State state, Message message)
@cython.locals(each=UpstreamEndpoint)
cpdef bint is_late(Message message) except -1
@cython.locals(downstream=DownstreamConnection, sequence="long long", pool=list)
cpdef bint is_late_for(Message message, UpstreamEndpoint endpoint) except -1
@cython.locals(attempt=Attempt)
cdef bint _has_later(UpstreamConnection connection, DownstreamConnection downstream, long long sequence) except -1
@cython.locals(pool=list, slot="long long", connection=UpstreamConnection)
cpdef bint has_room(State state, UpstreamEndpoint endpoint, Message message) except -1
cpdef bint may_have_more(UpstreamEndpoint endpoint) except -1
@cython.locals(each=UpstreamEndpoint)
cpdef bint is_full(Upstream upstream) except -1
@cython.locals(pool=list, slot="long long")
cpdef long long slot_for(State state, UpstreamEndpoint endpoint, Message message) except -1
@cython.locals(
    downstream=DownstreamConnection,
    size="long long",
    slot="long long",
    largest="long long",
    most="long long",
    connection=UpstreamConnection,
)
cdef long long _preferred_slot(State state, UpstreamEndpoint endpoint, Message message) except -1
@cython.locals(best="long long", least="long long", slot="long long", use="long long", connection=UpstreamConnection)
cdef long long _ready_slot(State state, list pool, long long preferred) except -1
@cython.locals(
    pool=list,
    best="long long",
    least="long long",
    there="long long",
    slot="long long",
    live="long long",
    connection=UpstreamConnection,
)
cdef long long _slot_for_small(State state, UpstreamEndpoint endpoint, long long most) except -1
@cython.locals(
    pool=list,
    idle="long long",
    full="long long",
    many="long long",
    slot="long long",
    connection=UpstreamConnection,
)
cdef long long _slot_for_large(State state, UpstreamEndpoint endpoint, long long most) except -1
@cython.locals(slot="long long", connection=UpstreamConnection)
cdef bint _may_do_without_last(State state, list pool, long long others) except -1
cdef bint _takes_more(State state, UpstreamConnection connection) except -1
cpdef bint is_congested(State state, UpstreamConnection connection) except -1
@cython.locals(best="long long", least="long long", slot="long long", connection=UpstreamConnection)
cdef long long _least_used(State state, list pool, long long most) except -1

# C types of upstream.py, for its compiled form.

cimport cython

from tcpservice.exchange.admission cimport is_slow_reader, responded
from tcpservice.exchange.attempts cimport end, write
from tcpservice.exchange.records cimport Attempt, DownstreamConnection, Message, UpstreamConnection, UpstreamEndpoint
from tcpservice.exchange.state cimport State
from tcpservice.wire.scan cimport Frame
from tcpservice.wire.ids cimport with_id
from tcpservice.wire.replies cimport Reply, read_reply

cdef object _CODE_NO_HANDLER
cdef object _AWAIT_PREFACE
cdef object _CLOSED
cdef object _READY
cdef object _HEALTHY
cdef object _REPLIED
cdef int _ATTEMPT
cdef int _REQUEST
cdef int _STREAM

@cython.locals(items=list)
cpdef receive(State state, UpstreamConnection connection, bytes data, long long now)
cdef _handle(State state, UpstreamConnection connection, item, long long now)
@cython.locals(endpoint=UpstreamEndpoint)
cdef _answered(State state, UpstreamConnection connection, long long now)
@cython.locals(reply=Reply, attempt=Attempt, pending=dict)
cdef _reply(State state, UpstreamConnection connection, Frame frame, long long now)
@cython.locals(message=Message, downstream=DownstreamConnection, asked=bytes, idle="long long")
cdef _deliver(
    State state, UpstreamConnection connection, Attempt attempt, Frame frame, Reply reply, long long now
)

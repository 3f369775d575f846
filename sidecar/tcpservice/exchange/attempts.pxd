# C types of attempts.py, for its compiled form.

cimport cython

from tcpservice.exchange.admission cimport drop_frame
from tcpservice.exchange.endings cimport fail, finish
from tcpservice.exchange.picking cimport is_full, is_late, pick
from tcpservice.exchange.pool cimport connection_for, fresh_id
from tcpservice.exchange.records cimport (
    Attempt,
    DownstreamConnection,
    Message,
    Upstream,
    UpstreamConnection,
    UpstreamEndpoint,
    new_attempt,
)
from tcpservice.exchange.state cimport State
from tcpservice.exchange.waiting cimport Waiting
from tcpservice.timers cimport Timers
from tcpservice.wire.scan cimport Frame
from tcpservice.wire.ids cimport with_id
from tcpservice.wire.requests cimport Request

cdef object _MESH
cdef object _OK
cdef object _DRAINING
cdef object _READY
cdef object _LOST
cdef object _REPLIED
cdef object _TIMED_OUT
cdef object _WITHDRAWN
cdef int _LATENCY_SHIFT
cdef Py_ssize_t _SHORT_ID
cdef int _ATTEMPT
cdef int _QUEUE
cdef int _STREAM

@cython.locals(upstream=Upstream, endpoint=UpstreamEndpoint)
cpdef dispatch(State state, Message message, long long now)
cpdef pump(State state, Upstream upstream, long long now)
@cython.locals(message=Message, endpoint=UpstreamEndpoint, waiting=Waiting, callers=list, going=list)
cpdef pump_on(State state, Upstream upstream, long long now)
cdef _go_on(State state, Message message, UpstreamEndpoint endpoint, long long now)
cpdef wait(State state, Message message, long long now)
@cython.locals(attempt=Attempt, timeout="long long", connection=UpstreamConnection, replied="long long")
cpdef start(State state, Message message, UpstreamEndpoint endpoint, long long now)
@cython.locals(message=Message, frame=Frame, request=Request, key=bytes)
cpdef write(State state, UpstreamConnection connection, Attempt attempt, long long now)
cdef bytes _key(UpstreamConnection connection, Message message, bytes id_text)
@cython.locals(message=Message, silent=UpstreamConnection, written=bint)
cpdef end(State state, Attempt attempt, outcome, long long now, str reason=*, code=*, long long retry=*)
@cython.locals(message=Message, endpoint=UpstreamEndpoint, connection=UpstreamConnection)
cdef UpstreamConnection _release(State state, Attempt attempt, outcome, long long now)
cdef _count_less(State state, Message message, UpstreamEndpoint endpoint, UpstreamConnection connection)
@cython.locals(message=Message, attempt=Attempt)
cpdef expect_large_replies(DownstreamConnection downstream, long long size)
@cython.locals(unread=dict)
cdef _may_be_unread(UpstreamEndpoint endpoint, Message message)

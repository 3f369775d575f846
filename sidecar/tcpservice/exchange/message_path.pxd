# C types of message_path.py, for its compiled form.

cimport cython

from tcpservice.exchange.admission cimport admit
from tcpservice.exchange.attempts cimport dispatch
from tcpservice.exchange.records cimport DownstreamConnection, Message, Upstream, new_message
from tcpservice.policy cimport Policy
from tcpservice.exchange.state cimport State
from tcpservice.exchange.tracing cimport begin
from tcpservice.wire.scan cimport Frame
from tcpservice.wire.requests cimport Request, read_request

cdef int _REQUEST

@cython.locals(request=Request, upstream=Upstream, arrived="long long", message=Message, policy=Policy, timeout="long long")
cpdef take_message(State state, DownstreamConnection downstream, Frame frame, long long now)
@cython.locals(upstream=Upstream)
cpdef Upstream route(DownstreamConnection downstream)
cpdef bint authorize(Message message) except -1

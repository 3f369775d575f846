# C types of records.py, for its compiled form. Times and sums of bytes are 64-bit integers.

cimport cython

from tcpservice.balancer cimport Balancer, Loaded
from tcpservice.exchange.retry_budget cimport RetryBudget
from tcpservice.exchange.sampling cimport Sampler
from tcpservice.exchange.waiting cimport Waiting
from tcpservice.policy cimport Policies, Policy
from tcpservice.timers cimport TimerOwner
from tcpservice.wire.scan cimport Frame
from tcpservice.wire.frames cimport FrameReader
from tcpservice.wire.requests cimport Request

cdef object _HEALTHY
cdef object _PROBATION

cdef class FramedConnection(TimerOwner):
    cdef readonly long long conn
    cdef public list outgoing
    cdef public long long outgoing_bytes

@cython.final
cdef class DownstreamConnection(FramedConnection):
    cdef public Upstream upstream
    cdef readonly object origin
    cdef public object state
    cdef public object hop
    cdef readonly FrameReader reader
    cdef public list items
    cdef readonly dict messages
    cdef public long long live
    cdef public long long waiting_first
    cdef public long long bytes
    cdef public long long buffered
    cdef public long long unsent
    cdef public long long replied
    cdef public long long answered
    cdef public long long progress
    cdef public long long heard
    cdef public long long arrived
    cdef public long long serial
    cdef public long long control_second
    cdef public long long control_used
    cdef public dict throttled

@cython.final
cdef class UpstreamConnection(FramedConnection):
    cdef readonly UpstreamEndpoint endpoint
    cdef readonly long long slot
    cdef public object state
    cdef public object hop
    cdef readonly FrameReader reader
    cdef readonly dict queue
    cdef public dict pending
    cdef readonly dict short_ids
    cdef public long long live
    cdef public long long backlog
    cdef public long long bytes
    cdef public long long heard
    cdef public long long used
    cdef public long long asked
    cdef public long long probed
    cdef readonly dict probes
    cdef public long long serial
    cdef public long long unknown
    cdef public long long control_second
    cdef public long long control_used
    cdef readonly dict throttling

@cython.final
cdef class UpstreamEndpoint(Loaded):
    cdef readonly Upstream upstream
    cdef public object address
    cdef readonly bint mesh
    cdef public str name
    cdef public UpstreamEndpoint sidecar
    cdef public object state
    cdef readonly list pool
    cdef readonly dict slots
    cdef readonly dict unread
    cdef public long long in_flight
    cdef public long long bytes
    cdef public long long latency
    cdef public long long failures
    cdef public object last_failure

    cpdef list connections(self)

@cython.final
cdef class Upstream(TimerOwner):
    cdef readonly bint is_app
    cdef public bint is_listed
    cdef public object state
    cdef public long long callers
    cdef public bint stopping
    cdef public bint announced
    cdef readonly dict endpoints
    cdef public list candidates
    cdef readonly Waiting waiting
    cdef public Balancer balancer
    cdef public RetryBudget budget
    cdef public Sampler sampler
    cdef readonly set served
    cdef public object service
    cdef public str key
    cdef public long long pool_size
    cdef public long long slow_threshold
    cdef public Policies policies
    cdef public long long most_requests
    cdef public long long most_bytes

cdef class Trace:
    cdef public object trace
    cdef public object parent
    cdef public bint sampled
    cdef public object server
    cdef public object client
    cdef public bytes request
    cdef public bytes response

@cython.final
cdef class Message(TimerOwner):
    cdef readonly DownstreamConnection downstream
    cdef readonly Upstream upstream
    cdef public Frame frame
    cdef public Request request
    cdef readonly Policy policy
    cdef readonly long long sequence
    cdef readonly long long arrived
    cdef public long long size
    cdef public long long held
    cdef public long long expected
    cdef public bint holds_place
    cdef public Attempt attempt
    cdef public Attempt last
    cdef public long long attempts
    cdef public long long rounds
    cdef public tuple failed
    cdef public tuple tried
    cdef public tuple refused
    cdef public bint may_have_run
    cdef public long long responses
    cdef public long long answered
    cdef public str kept
    cdef public Trace trace
    cdef public long long slot
    cdef public UpstreamEndpoint slot_at
    cdef public bint is_silent
    cdef public Message earlier
    cdef public Message later

@cython.final
cdef class MessageList:
    cdef readonly long long count
    cdef readonly Message first
    cdef readonly Message last

    @cython.locals(last=Message)
    cpdef add(self, Message message)
    @cython.locals(earlier=Message, later=Message)
    cpdef remove(self, Message message)

@cython.final
cdef class Attempt:
    cdef public Message message
    cdef readonly UpstreamEndpoint endpoint
    cdef public UpstreamConnection connection
    cdef public long long conn
    cdef public bytes key
    cdef public long long written

@cython.locals(message=Message)
cpdef Message new_message(
    DownstreamConnection downstream,
    Upstream upstream,
    Frame frame,
    Request request,
    Policy policy,
    long long sequence,
    long long arrived,
)
@cython.locals(attempt=Attempt)
cpdef Attempt new_attempt(Message message, UpstreamEndpoint endpoint)

cdef class Ended:
    cdef readonly Message message
    cdef readonly object code
    cdef readonly long long at

cdef class OpaqueConnection:
    cdef readonly long long conn
    cdef readonly UpstreamEndpoint endpoint

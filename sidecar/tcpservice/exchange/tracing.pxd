# C types of tracing.py, for its compiled form: what every message passes, whether it is recorded or not.

cimport cython

from tcpservice.exchange.records cimport DownstreamConnection, Message, Trace, Upstream
from tcpservice.exchange.sampling cimport Sampler
from tcpservice.exchange.state cimport State
from tcpservice.wire.requests cimport Request
from tcpservice.wire.scan cimport Frame

cdef object _OK
cdef object _CANCELLED
cdef object _LOCAL
cdef object _MESH

@cython.locals(trace=Trace)
cpdef begin(State state, Message message)
@cython.locals(trace=Trace)
cpdef ended(State state, Message message, code, long long now)
@cython.locals(request=Request, frame=Frame)
cdef _context_of(Message message)
@cython.locals(slow="long long")
cdef str _why_keep(Message message, code, long long now)

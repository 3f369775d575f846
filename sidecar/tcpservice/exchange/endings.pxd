# C types of endings.py, for its compiled form.

cimport cython

from tcpservice.exchange.admission cimport release
from tcpservice.exchange.outputs cimport Finished
from tcpservice.exchange.records cimport DownstreamConnection, Message, Upstream, UpstreamConnection
from tcpservice.exchange.state cimport State
from tcpservice.exchange.tracing cimport ended

cdef object _CONNECTION_CLOSED
cdef object _CLOSING
cdef object _MESH

@cython.locals(downstream=DownstreamConnection, upstream=Upstream, row=Finished)
cpdef finish(State state, Message message, code, long long now)
cpdef fail(State state, Message message, code, str text, long long now)

# C types of admission.py, for its compiled form.

cimport cython

from tcpservice.exchange.records cimport DownstreamConnection, Message, UpstreamConnection, UpstreamEndpoint
from tcpservice.exchange.state cimport State

cdef object _PAUSED
cdef object _READING
cdef object _MESH
cdef long long _OVERHEAD

@cython.locals(downstream=DownstreamConnection)
cpdef admit(State state, Message message)
@cython.locals(downstream=DownstreamConnection)
cpdef release(State state, Message message)
cpdef drop_frame(State state, Message message)
@cython.locals(endpoint=UpstreamEndpoint)
cpdef give_back_place(State state, Message message)
cpdef responded(State state, Message message)
cdef _forget(State state, Message message)
cpdef bint may_read(State state, DownstreamConnection downstream) except -1
cpdef bint may_continue_frame(State state, DownstreamConnection downstream) except -1
@cython.locals(size="long long")
cpdef count_buffered(State state, DownstreamConnection downstream)
cpdef bint partials_exceed(State state) except -1
cpdef bint is_slow_reader(State state, DownstreamConnection downstream) except -1

# C types of downstream.py, for its compiled form.

cimport cython

from tcpservice.exchange.admission cimport count_buffered, may_continue_frame, may_read
from tcpservice.exchange.message_path cimport take_message
from tcpservice.exchange.records cimport DownstreamConnection
from tcpservice.exchange.state cimport State
from tcpservice.wire.scan cimport Frame
from tcpservice.wire.frames cimport FrameReader

cdef object _AWAIT_PREFACE
cdef object _CLOSING
cdef object _ENDING
cdef object _PAUSED
cdef object _READING

cpdef receive(State state, DownstreamConnection downstream, bytes data, long long now)
cdef _receive(State state, DownstreamConnection downstream, bytes data, long long now)
@cython.locals(items=list)
cdef list _parse(DownstreamConnection downstream, bytes data)
@cython.locals(reader=FrameReader, items=list, same_frame=bint, handled="long long")
cdef _read(State state, DownstreamConnection downstream, bytes data, long long now)
cdef _decide(State state, DownstreamConnection downstream, long long now, bint same_frame)
cdef _watch_frame(State state, DownstreamConnection downstream, long long now, bint same_frame)
cdef _handle(State state, DownstreamConnection downstream, item, long long now)

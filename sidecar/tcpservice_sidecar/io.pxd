# C types of io.py, for its compiled form.

cimport cython

from tcpservice.exchange.exchange cimport Exchange
from tcpservice_sockets.acknowledging cimport DelayedAcknowledgement
from tcpservice_sockets.timer cimport LoopTimer

cdef class ExchangeIO:
    cdef public Exchange exchange
    cdef public object loop
    cdef object _connector
    cdef dict _dials
    cdef public object hand_over
    cdef public object stop_listening
    cdef public object start_listening
    cdef public object on_notice
    cdef public object on_finished
    cdef public object on_spans
    cdef public dict connections
    cdef public set open
    cdef public DelayedAcknowledgement acknowledgement
    cdef set _unread
    cdef bint _turn_set
    cdef LoopTimer _timer
    cdef object _backlog_check

    cpdef touch(self)
    @cython.locals(connection=Connection, finished=list, spans=list)
    cpdef _end_turn(self)

cdef class Connection:
    cdef ExchangeIO _io
    cdef bint _upstream
    cdef object _accept
    cdef bint _closing
    cdef bint _has_backlog
    cdef object _lingering
    cdef public object channel
    cdef public long long conn
    cdef public str peer

    cpdef received(self, bytes data)
    cpdef write(self, list parts)

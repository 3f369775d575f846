"""Every state and every transition of the exchange, as tables.

Used by `state.State.move`, which all parts of the exchange call to change a state; nothing else assigns one. As in
h11, a table is a dict from (state, event) to the next state. A pair that is not in its table is a bug: it raises
IllegalTransition in tests; in production the state stays, and the bug is counted and logged once.

| record | states |
|---|---|
| downstream connection | AWAIT_PREFACE, READING, PAUSED, ENDING, CLOSING, CLOSED |
| upstream connection | CONNECTING, AWAIT_PREFACE, READY, DRAINING, CLOSED |
| endpoint | HEALTHY, LEAVING, ABSENT, EJECTED, PROBING, PROBATION, REMOVED |
| upstream (a service) | REACHABLE, UNREACHABLE, CLOSED |

The endpoint's table is a circuit breaker. HEALTHY is its closed state, EJECTED its open one. Once the backoff is over
and a connection is established, the endpoint is PROBING until it answers a probe. An endpoint that does not answer
probes, although it accepts connections, is on PROBATION: it gets one request, whose outcome decides.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from tcpservice.errors import TcpServiceError


class IllegalTransition(TcpServiceError):
    """A record was asked to make a transition that its table does not have."""


class DownstreamState(IntEnum):
    """A caller's connection. Frames are read in READING only."""

    AWAIT_PREFACE = 0
    READING = 1
    PAUSED = 2
    ENDING = 3  # the caller sent its FIN; bytes that came before it are still to be parsed
    CLOSING = 4  # no frame is read any more; the caller still gets the replies to what it sent
    CLOSED = 5


class DownstreamEvent(IntEnum):
    """What happens to a caller's connection."""

    PREFACE = 0
    PAUSE = 1
    RESUME = 2
    END_OF_STREAM = 3
    FINISH = 4
    CLOSE = 5


class ConnectionState(IntEnum):
    """A connection to an endpoint. Messages are written in READY only."""

    CONNECTING = 0
    AWAIT_PREFACE = 1
    READY = 2
    DRAINING = 3  # gets no new message, and is closed with its last reply
    CLOSED = 4


class ConnectionEvent(IntEnum):
    """What happens to a connection to an endpoint."""

    CONNECTED = 0
    CONNECTED_MESH = 1
    PREFACE = 2
    DRAIN = 3
    CLOSE = 4


class EndpointState(IntEnum):
    """Whether an endpoint may be picked, and why not."""

    HEALTHY = 0
    LEAVING = 1  # its sidecar asked to be left out, but still serves
    ABSENT = 2  # its sidecar is there, its app is not
    EJECTED = 3
    PROBING = 4
    PROBATION = 5
    REMOVED = 6


class EndpointEvent(IntEnum):
    """What is learned about an endpoint."""

    FAILURE = 0
    CONNECTED = 1
    SUSPECT = 2
    SUCCESS = 3
    NO_ANSWER = 4
    GOAWAY = 5
    APP_ABSENT = 6
    BACK = 7
    REMOVE = 8


class UpstreamState(IntEnum):
    """Whether any endpoint of a service can be reached. CLOSED: its listeners behave as a closed port."""

    REACHABLE = 0
    UNREACHABLE = 1
    CLOSED = 2


class UpstreamEvent(IntEnum):
    """What changes for a service as a whole."""

    LOST = 0
    FOUND = 1
    GRACE_OVER = 2


State = DownstreamState | ConnectionState | EndpointState | UpstreamState
Event = DownstreamEvent | ConnectionEvent | EndpointEvent | UpstreamEvent
Table = dict[tuple[State, Event], State]

_D, _DE = DownstreamState, DownstreamEvent
DOWNSTREAM: Final[Table] = {
    (_D.AWAIT_PREFACE, _DE.PREFACE): _D.READING,
    (_D.AWAIT_PREFACE, _DE.FINISH): _D.CLOSING,
    (_D.AWAIT_PREFACE, _DE.CLOSE): _D.CLOSED,
    (_D.READING, _DE.PAUSE): _D.PAUSED,
    (_D.READING, _DE.FINISH): _D.CLOSING,
    (_D.READING, _DE.CLOSE): _D.CLOSED,
    (_D.PAUSED, _DE.RESUME): _D.READING,
    (_D.PAUSED, _DE.END_OF_STREAM): _D.ENDING,
    (_D.PAUSED, _DE.FINISH): _D.CLOSING,
    (_D.PAUSED, _DE.CLOSE): _D.CLOSED,
    (_D.ENDING, _DE.FINISH): _D.CLOSING,
    (_D.ENDING, _DE.CLOSE): _D.CLOSED,
    (_D.CLOSING, _DE.CLOSE): _D.CLOSED,
}

_C, _CE = ConnectionState, ConnectionEvent
CONNECTION: Final[Table] = {
    (_C.CONNECTING, _CE.CONNECTED): _C.READY,
    (_C.CONNECTING, _CE.CONNECTED_MESH): _C.AWAIT_PREFACE,
    (_C.CONNECTING, _CE.CLOSE): _C.CLOSED,
    (_C.AWAIT_PREFACE, _CE.PREFACE): _C.READY,
    (_C.AWAIT_PREFACE, _CE.CLOSE): _C.CLOSED,
    (_C.READY, _CE.DRAIN): _C.DRAINING,
    (_C.READY, _CE.CLOSE): _C.CLOSED,
    (_C.DRAINING, _CE.CLOSE): _C.CLOSED,
}

_E, _EE = EndpointState, EndpointEvent
ENDPOINT: Final[Table] = {
    (_E.HEALTHY, _EE.FAILURE): _E.EJECTED,
    (_E.HEALTHY, _EE.SUSPECT): _E.PROBING,
    (_E.HEALTHY, _EE.GOAWAY): _E.LEAVING,
    (_E.HEALTHY, _EE.APP_ABSENT): _E.ABSENT,
    (_E.HEALTHY, _EE.REMOVE): _E.REMOVED,
    (_E.LEAVING, _EE.FAILURE): _E.EJECTED,
    (_E.LEAVING, _EE.APP_ABSENT): _E.ABSENT,
    (_E.LEAVING, _EE.BACK): _E.HEALTHY,
    (_E.LEAVING, _EE.REMOVE): _E.REMOVED,
    (_E.ABSENT, _EE.FAILURE): _E.EJECTED,
    (_E.ABSENT, _EE.GOAWAY): _E.LEAVING,
    (_E.ABSENT, _EE.BACK): _E.HEALTHY,
    (_E.ABSENT, _EE.REMOVE): _E.REMOVED,
    (_E.EJECTED, _EE.FAILURE): _E.EJECTED,
    (_E.EJECTED, _EE.CONNECTED): _E.PROBING,
    (_E.EJECTED, _EE.GOAWAY): _E.LEAVING,
    (_E.EJECTED, _EE.APP_ABSENT): _E.ABSENT,
    (_E.EJECTED, _EE.BACK): _E.HEALTHY,
    (_E.EJECTED, _EE.REMOVE): _E.REMOVED,
    (_E.PROBING, _EE.SUCCESS): _E.HEALTHY,
    (_E.PROBING, _EE.NO_ANSWER): _E.PROBATION,
    (_E.PROBING, _EE.FAILURE): _E.EJECTED,
    (_E.PROBING, _EE.GOAWAY): _E.LEAVING,
    (_E.PROBING, _EE.APP_ABSENT): _E.ABSENT,
    (_E.PROBING, _EE.REMOVE): _E.REMOVED,
    (_E.PROBATION, _EE.SUCCESS): _E.HEALTHY,
    (_E.PROBATION, _EE.FAILURE): _E.EJECTED,
    (_E.PROBATION, _EE.GOAWAY): _E.LEAVING,
    (_E.PROBATION, _EE.APP_ABSENT): _E.ABSENT,
    (_E.PROBATION, _EE.REMOVE): _E.REMOVED,
}

_U, _UE = UpstreamState, UpstreamEvent
UPSTREAM: Final[Table] = {
    (_U.REACHABLE, _UE.LOST): _U.UNREACHABLE,
    (_U.UNREACHABLE, _UE.FOUND): _U.REACHABLE,
    (_U.UNREACHABLE, _UE.GRACE_OVER): _U.CLOSED,
    (_U.CLOSED, _UE.FOUND): _U.REACHABLE,
}

TABLES: Final[dict[type[IntEnum], Table]] = {
    DownstreamState: DOWNSTREAM,
    ConnectionState: CONNECTION,
    EndpointState: ENDPOINT,
    UpstreamState: UPSTREAM,
}

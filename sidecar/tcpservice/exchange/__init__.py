"""The exchange: whole reads and events go in, whole writes and commands come out, and everything between is decided.

This is the product's core, and it is pure: no I/O, no clock, no randomness but a seed. A shell owns the sockets; it
calls the methods of `Exchange` with the time, and takes the outputs once a turn. So every behaviour is a table of
inputs and outputs, and a whole fleet can be simulated in one process.

Begin to read with `message_path`. One module holds one idea:

| module | what it holds |
|---|---|
| `message_path` | the way of a message from its frame to its first attempt |
| `attempts` | an attempt, from its start to its end; retries; who goes on when there is room |
| `waiting` | the messages of a service that wait for an endpoint |
| `picking` | which endpoint a message is sent to, and on which connection |
| `endings` | how a message and a connection end |
| `downstream`, `upstream` | connections of callers, and to endpoints: what is read from them, and their timers |
| `endpoint_health` | ejection and recovery of endpoints; a service that cannot be reached |
| `pool` | the connections to one endpoint |
| `admission` | what bounds the memory |
| `topology` | a new snapshot takes effect |
| `local_app`, `draining`, `opaque` | the pod's own app; stopping without loss; services of other protocols |
| `tracing`, `sampling`, `retry_budget` | which messages are traced; how many retries there may be |
| `records`, `transitions`, `state` | the records, the tables of their states, and the whole state |
| `bounds`, `outputs`, `views`, `durations` | what goes in once; what comes out |
"""

from tcpservice.exchange.bounds import Bounds
from tcpservice.exchange.durations import Durations
from tcpservice.exchange.exchange import Exchange
from tcpservice.exchange.outputs import (
    Close,
    Command,
    Connect,
    Finished,
    HandOver,
    Notice,
    Pause,
    Resume,
    Span,
    StartListening,
    StopListening,
)

__all__ = [
    "Bounds",
    "Close",
    "Command",
    "Connect",
    "Durations",
    "Exchange",
    "Finished",
    "HandOver",
    "Notice",
    "Pause",
    "Resume",
    "Span",
    "StartListening",
    "StopListening",
]

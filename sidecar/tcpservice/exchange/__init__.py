"""The exchange: takes whole reads and events in, gives whole writes and commands out, and decides everything between.

This is the product's heart, and it is pure: no I/O, no clock, no randomness but a seed. A shell owns the sockets and
calls the methods below with the time in integer nanoseconds; once a turn it takes what is to be written, commanded and
told. So every behaviour is a table of inputs and outputs, and a compiled twin can stand in for this module.

A message, top to bottom: `intake` takes a caller's frames in order and finds each message's policy -> `dispatch`
chooses a replica -> `links` puts it on that replica's connection -> `answers` maps the reply back -> `endings` ends
it. When an attempt fails, `losses` (the replica) and `retries` (the message) decide what follows.

A change, top to bottom: `topology` compares a snapshot with what is there and swaps it in under what is in flight.

What holds, whatever happens: every accepted request gets exactly one ending; nothing that may have run runs again
unless its route allows it; replies are always read; nothing grows without a bound (`bounds`).
"""

from tcpservice.exchange.bounds import Bounds
from tcpservice.exchange.exchange import Exchange
from tcpservice.exchange.outputs import Close, Command, Connect, Finished, HandOver, Notice, Pause, Resume, Span

__all__ = [
    "Bounds",
    "Close",
    "Command",
    "Connect",
    "Exchange",
    "Finished",
    "HandOver",
    "Notice",
    "Pause",
    "Resume",
    "Span",
]

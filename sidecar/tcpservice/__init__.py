"""The pure core of TcpService: the NestJS TCP wire, patterns, policies, balancing and the exchange of messages.

Nothing in this package does I/O, reads a clock or draws randomness: bytes, events and `now` go in; writes, commands
and deadlines come out. The shells (`tcpservice_sidecar` and others) hold the sockets.
"""

__version__ = "0.1.0"

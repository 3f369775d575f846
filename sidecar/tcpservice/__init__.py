"""The pure core of TcpService: the NestJS TCP wire, patterns, policies, balancing and the exchange of messages.

Nothing in this package does I/O, reads a clock or draws randomness: bytes, events and `now` go in; writes, commands
and deadlines come out. The shells (`tcpservice_sidecar` and others) hold the sockets. The one exception is
TCPSERVICE_IMPL, which chooses here, before any module of the core is imported, whether their compiled form runs.
"""

import os

from tcpservice import implementation

__version__ = "0.1.0"

implementation.choose(os.environ.get(implementation.VARIABLE, ""))

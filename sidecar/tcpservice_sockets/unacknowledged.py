"""How much of what was written to a socket has not reached the other side's kernel.

Used by `channel`, to tell a peer that reads slowly from one that does not read.
"""

from __future__ import annotations

import socket
from array import array

try:
    import fcntl
    import termios
except ImportError:  # Windows

    def unacknowledged(sock: socket.socket) -> int:  # noqa: ARG001 - the face of the other one
        """Return 0: the system does not tell."""
        return 0

else:

    def unacknowledged(sock: socket.socket) -> int:
        """Return how many bytes the kernel has not sent, or has sent without an acknowledgement yet.

        An end of the stream (FIN) counts as a byte. Returns 0 where the system does not tell, as outside Linux, and for
        a socket that is closed.
        """
        size = array("i", [0])
        try:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, size)
        except (OSError, ValueError):
            return 0
        return size[0]

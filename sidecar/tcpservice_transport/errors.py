"""What may go wrong, as one tree; each exception has a `code`, in the words of the sidecar's errors where it has them.

TransportError
+-- RpcError             the other side's error, or a handler's own to the caller: `payload`
|   +-- NoHandlerError   no handler has the pattern: nothing ran
+-- RequestTimeout       no response in time (a TimeoutError, too)
+-- Unreachable          no connection in time; nothing was sent (a ConnectionError, too)
+-- ConnectionLost       the connection ended under a request, which may have run (a ConnectionError, too)
|   +-- ProtocolError    because what came on it is not the NestJS TCP transport
|   +-- ClientClosed     because the client was closed
+-- FrameTooLarge        a reply above the limit
+-- Overloaded           a limit of this client: too much waits already
+-- NotJson              a value that JSON cannot hold (a ValueError, too)
+-- UnexpectedValue      a value that is not of the type asked for (a ValueError, too)
+-- PatternError         a pattern that no message can have (a ValueError, too)
+-- ListenError          a server cannot listen there (an OSError, too)
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code

NO_HANDLER: Final = "There is no matching message handler defined in the remote service."
"""NestJS's own words, by which a sidecar and a client know that nothing ran."""


class TransportError(Exception):
    """Base of all exceptions of this package; `code` is stable, the text is for people."""

    code: str = "transport_error"


class RpcError(TransportError):
    """An error that crosses the wire: raised by handlers, and by `Client.send` for what the other side raised.

    `payload` is any JSON value. As with NestJS's RpcException, an object or array reaches the caller as it is, and
    anything else as `{"status": "error", "message": payload}`. `code` is the payload's own, where it has one.
    """

    def __init__(self, payload: object) -> None:
        message = payload.get("message") if isinstance(payload, dict) else payload
        super().__init__(message if isinstance(message, str) else f"{payload}")
        self.payload = payload
        code = payload.get("code") if isinstance(payload, dict) else None
        self.code = code if isinstance(code, str) else Code.RPC_EXCEPTION.value


class NoHandlerError(RpcError):
    """No handler of the other side has the pattern."""

    def __init__(self, payload: object = NO_HANDLER) -> None:
        super().__init__(payload)
        self.code = Code.NO_HANDLER.value


class RequestTimeout(TransportError, TimeoutError):
    """No response in time; the request may have run, and may still run."""

    code = Code.TIMEOUT.value


class Unreachable(TransportError, ConnectionError):
    """No connection in time, with the reason of each address."""

    code = "unreachable"


class ConnectionLost(TransportError, ConnectionError):
    """The connection ended while something was expected of it; the request may have run."""

    code = Code.CONNECTION_CLOSED.value


class ProtocolError(ConnectionLost):
    """What came is not the NestJS TCP transport; says what came, and at which byte of the connection."""

    code = "protocol_error"


class ClientClosed(ConnectionLost):
    """The client was closed."""

    code = "client_closed"


class FrameTooLarge(TransportError):
    """A reply above `Limits.frame`, or nested deeper than 256."""

    code = Code.FRAME_TOO_LARGE.value


class Overloaded(TransportError):
    """Too many requests wait (`Limits.in_flight`), or a stream's responses are not taken (`Limits.unread`)."""

    code = Code.OVERLOADED.value


class NotJson(TransportError, ValueError):
    """A value that JSON cannot hold; says which, and why."""

    code = "not_json"


class UnexpectedValue(TransportError, ValueError):
    """A value that is not of the type asked for; says where in it."""

    code = "unexpected_value"


class PatternError(TransportError, ValueError):
    """A pattern that no message can have, or a handler that cannot be one; says which function it is about."""

    code = "pattern"


class ListenError(TransportError, OSError):
    """A server cannot listen where it should."""

    code = "listen"

"""The path of a message, read from top to bottom.

Used by `downstream` for every frame of a caller. This module composes the steps; each is a function of the module that
is named for it.

1. *decode* (`wire.requests`): the scan has proved that the frame is JSON and found pattern, id and metadata.
2. *route* (`route`, `policy`): the connection finds the service, the pattern the policy: the route's name, its
   timeouts, whether it is idempotent.
3. *authorize* (`authorize`): whether the caller may send this message. Every caller may, until identities exist.
4. *admit* (`admission.admit`): the message is counted. What bounds memory is that connections are paused, not that
   messages are refused; so nothing that was read is lost.
5. *pick* (`picking.pick`): an endpoint that is healthy and has room, by the service's algorithm, and a connection to
   it. Without one, the message waits in the service's queue, behind its caller's earlier ones.
6. *attempt* (`attempts.start`): the message is queued on a connection that is being made, or written as it came.
7. *end* (`attempts.end`): a reply, a refusal, a lost connection or a timeout ends the attempt. What follows is another
   attempt, or the end of the message (`endings.finish`): one row, one trace, and the caller has its answer.

A reply takes the way back in `upstream`: bytes are cut into frames, the id finds the attempt, the frame is written to
the caller, and the attempt ends.

What holds for every message: it ends exactly once. A request gets exactly one last answer, under the id that its caller
gave it. Nothing that may have run runs again, unless its route is idempotent. Messages of one caller to one endpoint
keep their order. An error while one frame is handled costs that frame's connection, and no other.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code
from tcpservice.exchange.admission import admit
from tcpservice.exchange.attempts import dispatch
from tcpservice.exchange.endings import error_frame
from tcpservice.exchange.records import DownstreamConnection, Message, Reason, Upstream, new_message
from tcpservice.exchange.state import State
from tcpservice.exchange.tracing import begin
from tcpservice.pattern import PatternTooDeep
from tcpservice.wire.frames import Oversized
from tcpservice.wire.requests import Request, TooDeep, oversized_id, read_request
from tcpservice.wire.scan import Frame

# CPython 3.11 looks up a member of an enum slowly; this name is as quick as any (docs/decisions.md).
_REQUEST: Final = Reason.REQUEST


def take_message(state: State, downstream: DownstreamConnection, frame: Frame, now: int) -> None:
    """Take one message from its frame to its first attempt. Raises Refused for a body that no endpoint could read."""
    try:
        request = read_request(frame)
        upstream = route(downstream)
        policy = upstream.policies.find(request.pattern)
    except (TooDeep, PatternTooDeep) as error:
        _too_deep(state, downstream, frame, error)
        return
    if not request.passable:
        _not_passed_on(state, downstream, frame, request)
        return
    arrived = downstream.arrived or now
    message = new_message(downstream, upstream, frame, request, policy, state.new_sequence(), arrived)
    if not authorize(message):
        _deny(state, message)
        return
    admit(state, message)
    upstream.budget.count_request(now)
    timeout = policy.request_timeout
    if timeout and request.id is not None:
        state.timers.set(message, _REQUEST, arrived + timeout)
    if state.tracing:
        begin(state, message)
    dispatch(state, message, now)


def route(downstream: DownstreamConnection) -> Upstream:
    """Find where a message goes.

    A message crosses at most one mesh hop: one that came by the mesh goes to the pod's own app.
    """
    upstream = downstream.upstream
    assert upstream is not None
    return upstream


def authorize(message: Message) -> bool:  # noqa: ARG001 - identities come with mutual TLS
    """Whether the caller may send this message. The place where access rules will be evaluated."""
    return True


def _deny(state: State, message: Message) -> None:
    """Answer a message that its caller may not send."""
    state.counts["denied"] += 1
    if message.request.id is not None:
        error = error_frame(message.request.id, Code.DENIED, "the access rules do not allow this message")
        state.write(message.downstream, error)


def _too_deep(state: State, downstream: DownstreamConnection, frame: Frame, error: Exception) -> None:
    """Answer a request that is nested too deeply for any receiver; the connection goes on."""
    state.report("frame_too_large", f"{error} (at byte {frame.offset})", downstream)
    state.counts["too_deep_frames"] += 1
    id_text = error.id_text if isinstance(error, TooDeep) else read_request(frame).id
    if id_text is not None:
        state.write(downstream, error_frame(id_text, Code.FRAME_TOO_LARGE, str(error)))


def oversized(state: State, downstream: DownstreamConnection, item: Oversized) -> None:
    """Answer a request above the limit, of which only head and tail are known; the connection goes on."""
    assert downstream.upstream is not None
    limit = downstream.upstream.service.limits.max_frame_size
    text = f"a frame above limits.maxFrameSize ({limit} bytes) was skipped (at byte {item.offset})"
    state.report("frame_too_large", text, downstream)
    state.counts["oversized_frames"] += 1
    found = oversized_id(item)
    if found is not None:
        answer = f"the message is larger than limits.maxFrameSize ({limit} bytes)"
        state.write(downstream, error_frame(found, Code.FRAME_TOO_LARGE, answer))


def _not_passed_on(state: State, downstream: DownstreamConnection, frame: Frame, request: Request) -> None:
    """Drop a frame that is JSON but no message: NestJS up to 11.1.18 ends its process over it."""
    state.counts["foreign_frames"] += 1
    if state.counts["foreign_frames"] > 1:
        return
    why = request.foreign or "the frame has neither a pattern nor data"
    text = f"{why} (at byte {frame.offset}); if clients use a serializer of their own, set protocol: Opaque"
    state.report("foreign_frame", text, downstream)

"""What happens to a message whose attempt failed: another one, or its end.

Used by `answers` and `losses`. Where nothing ran (the bytes never left, the replica's sidecar refused it, no handler
was there), every message may be tried elsewhere. Where it may have run, only a message whose route is marked
idempotent, that nothing was answered to yet and whose frame was kept, and only within the service's retry budget.
"""

from __future__ import annotations

from typing import Final

from tcpservice.errors import Code
from tcpservice.exchange.dispatch import Nowhere, choose, send, set_timer
from tcpservice.exchange.endings import CONNECTION_CLOSED, drop, fail, leave
from tcpservice.exchange.outputs import Attempt
from tcpservice.exchange.records import Call, Replica
from tcpservice.exchange.state import State
from tcpservice.snapshot import SECOND

_LONGEST_BACKOFF: Final = SECOND


def not_run(state: State, call: Call, reason: str, now: int) -> None:
    """Go on with a call that has left its link and surely has not run; `reason` says what the replica did."""
    _note_failed(call, reason, now)
    call.left = False
    if call.attempts > call.policy.retry.attempts and not _waits_for_app(state, call, now):
        fail(state, call, Code.NO_ENDPOINTS, f"no replica of {call.backend.service.key} took it: {reason}", now)
    elif has_untried(call):
        again(state, call, now)
    else:
        _wait(state, call, now)


def _waits_for_app(state: State, call: Call, now: int) -> bool:
    """Whether a message is an event of another sidecar: it has no id by which it could be refused, so that it waits."""
    return call.caller.mesh and call.request.id is None and now - call.started < state.bounds.place_wait


def lost(state: State, call: Call, code: Code, message: str, now: int) -> None:
    """Go on with a call that has left its link and may have run."""
    _note_failed(call, message, now)
    if may_repeat(call, now):
        _wait(state, call, now)
    else:
        fail(state, call, code, message, now)


def may_repeat(call: Call, now: int) -> bool:
    """Whether a call that may have run may run again; if so, one retry is taken from the budget."""
    return (
        call.policy.idempotent
        and call.frame is not None
        and call.attempts <= call.policy.retry.attempts
        and call.backend.budget.take(now)
    )


def has_untried(call: Call, beside: Replica | None = None) -> bool:
    """Whether some replica that may be chosen, `beside` this one, has not been tried for this call."""
    tried = call.tried or set()
    return any(replica not in tried and replica is not beside for replica in call.backend.candidates)


def moved(state: State, call: Call, now: int) -> bool:
    """Try a call elsewhere that found no handler; False where there is nowhere else and the answer stands."""
    if call.frame is None or call.attempts > call.policy.retry.attempts:
        return False
    if not has_untried(call, call.replica):
        return False
    _note_failed(call, "no handler there", now)
    leave(state, call)
    call.left = False
    again(state, call, now)
    return True


def again(state: State, call: Call, now: int) -> None:
    """Make the next attempt now, or as soon as a replica has room."""
    call.retry_at = 0
    replica = choose(state, call.backend, call.tried)
    if replica is Nowhere.NONE:
        fail(state, call, Code.NO_ENDPOINTS, f"{call.backend.service.key} has no replica", now)
    elif replica is Nowhere.YET:
        if now - call.started > state.bounds.place_wait:
            fail(state, call, Code.OVERLOADED, f"every replica of {call.backend.service.key} is busy", now)
        else:
            _wait(state, call, now)
    else:
        assert not isinstance(replica, Nowhere)
        send(state, call, replica, now)


def call_due(state: State, call: Call, now: int) -> None:
    """Handle that a time has come for the call: its deadline, its attempt's, its stream's, or that of the next try."""
    if call.due and now >= call.due:
        what = "timeouts.streamIdle" if call.responses else "timeouts.request"
        fail(state, call, Code.TIMEOUT, f"no response in time ({what})", now)
    elif call.retry_at and now >= call.retry_at:
        again(state, call, now)
    else:
        drop(state, call)
        call.attempt_due = 0
        lost(state, call, Code.TIMEOUT, "no response in time (timeouts.backendRequest)", now)


def broken(state: State, call: Call, now: int) -> None:
    """Go on with a call whose connection was lost after its bytes had left."""
    lost(state, call, Code.CONNECTION_CLOSED, CONNECTION_CLOSED, now)


def _note_failed(call: Call, reason: str, now: int) -> None:
    assert call.replica is not None
    call.tried = (call.tried or set()) | {call.replica}
    attempt = Attempt(call.replica.endpoint.name, reason, now, call.conn, call.key)
    call.failed = (*call.failed, attempt)


def _wait(state: State, call: Call, now: int) -> None:
    """Let the call rest before its next attempt, twice as long each time."""
    first = call.policy.retry.backoff
    backoff = max(first, min(first << max(call.attempts - 1, 0), _LONGEST_BACKOFF))
    call.attempt_due = 0
    call.retry_at = now + state.chance.jitter(backoff)
    set_timer(state, call)

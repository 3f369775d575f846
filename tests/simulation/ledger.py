"""The book of all messages of a run, and what must hold for each of them.

Used by all models: clients enter what they send and receive, apps what they run, sidecars what they pass on. A message
carries its serial number as its data; a reply carries `serial * 16 + n`, where n counts the values of a stream. So the
ledger knows for each value which request it answers. A broken rule is a `Violation`; it is collected, and the run goes
on, so that one fault does not hide the next.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from simulation.clock import START, Clock
from simulation.network import End
from simulation.scenario import IDEMPOTENT, Pattern
from tcpservice.snapshot import SECOND

VALUES: Final = 16
"""A stream's values are numbered modulo this."""

FAULT_SLACK: Final = 12 * SECOND
"""An event may wait this long for a place, so a fault concerns events sent that long before or after it."""

MOST_VIOLATIONS: Final = 40


@dataclass(frozen=True)
class Violation:
    """A broken rule: its stable name, and what happened."""

    invariant: str
    text: str
    at: int


class Message:
    """One request or event, from its client's call to its end.

    `hops` counts how often its caller's sidecar wrote it to an endpoint, `sidecars` the same for each endpoint, and
    `app_writes` how often a replica's sidecar wrote it to its app. `outcome` is empty while it has no end.
    """

    __slots__ = (
        "abandoned", "app_writes", "client", "end", "ended", "hops", "link", "outcome", "pattern", "runs", "scopes",
        "sent", "serial", "sidecars", "values",
    )  # fmt: skip

    def __init__(
        self, serial: int, pattern: Pattern, client: str, scopes: tuple[str, ...], end: End | None, now: int
    ) -> None:
        self.serial = serial
        self.pattern = pattern
        self.client = client
        self.scopes = scopes
        self.end = end
        self.sent = now
        self.ended = 0
        self.outcome = ""
        self.abandoned = False
        self.values = 0
        self.runs = 0
        self.hops = 0
        self.sidecars: Counter[str] = Counter()
        self.app_writes = 0
        self.link: End | None = None

    def __str__(self) -> str:
        kind = "event" if self.pattern is Pattern.EVENT else f"request {self.pattern}"
        return f"{kind} #{self.serial} of {self.client}"


class Ledger:
    """All messages of one run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.messages: list[Message] = []
        self.violations: list[Violation] = []
        self.outcomes: Counter[str] = Counter()
        self._taints: list[tuple[str, int, int]] = []
        self._expired: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    def violate(self, invariant: str, text: str) -> None:
        """Note that a rule is broken."""
        self._seen[invariant] += 1
        if self._seen[invariant] <= 3 and len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(Violation(invariant, text, self._clock.now))

    # Clients

    def open(self, pattern: Pattern, client: str, scopes: tuple[str, ...], end: End | None) -> Message:
        """Enter a new message."""
        message = Message(len(self.messages), pattern, client, scopes, end, self._clock.now)
        self.messages.append(message)
        return message

    def value(self, message: Message, number: int) -> None:
        """Note a value that a client received for a request."""
        expected = message.serial * VALUES + message.values % VALUES
        if message.outcome:
            self.violate("a request ends once", f"{message} got the value {number} after its end ({message.outcome})")
        elif number // VALUES != message.serial:
            other = self.messages[number // VALUES] if 0 <= number // VALUES < len(self.messages) else "nobody"
            self.violate("a reply carries its own request's value", f"{message} got the reply to {other}")
        elif number != expected:
            self.violate("a stream's values keep their order", f"{message} got {number}, not {expected}")
        message.values += 1

    def finish(self, message: Message, outcome: str) -> None:
        """Note that a request ended for its client."""
        if message.outcome:
            self.violate("a request ends once", f"{message} ended as {message.outcome}, and then as {outcome}")
            return
        message.outcome = outcome
        message.ended = self._clock.now
        self.outcomes[outcome] += 1
        if outcome == "ok" and not message.runs:
            self.violate("only what ran is answered", f"{message} was answered, but no app ran it")

    # Apps

    def run(self, serial: int, app: str) -> None:
        """Note that an app's handler began to run a message."""
        message = self.messages[serial]
        message.runs += 1
        if message.runs > 1 and message.pattern is not IDEMPOTENT:
            self.violate("a message runs once", f"{message} ran {message.runs} times, now at {app}")

    # Faults

    def taint(self, scope: str, lasts: int) -> None:
        """Note a fault that may cost events of a client, of a caller's pod, of a service, or of all (`*`)."""
        now = self._clock.now
        self._taints.append((scope, now - FAULT_SLACK, now + lasts + FAULT_SLACK))

    def _is_tainted(self, message: Message) -> bool:
        return any(
            start <= message.sent <= end and (scope == "*" or scope in message.scopes)
            for scope, start, end in self._taints
        )

    def expire(self, service: str) -> None:
        """Note that a sidecar ended an event that waited too long, because all replicas had reached their limit."""
        self._expired[service] += 1

    def check_events(self) -> None:
        """Check that no event was lost where no fault touched its path.

        Events that waited too long behind a limit on requests are lost, as documented: so many for each service as
        sidecars said.
        """
        expired = self._expired.copy()
        for message in self.messages:
            lost = message.pattern is Pattern.EVENT and not message.runs and message.outcome != "refused"
            if not lost or self._is_tainted(message):
                continue
            service = next((each for each in message.scopes if expired[each]), None)
            if service is not None:
                expired[service] -= 1
            else:
                self.violate(
                    "no event is lost without a fault on its path",
                    f"{message}, sent at {seconds(message.sent - START)}, never ran",
                )


def seconds(nanoseconds: int) -> str:
    """Write a time as people read it."""
    return f"{nanoseconds / SECOND:.6f} s"

"""The conversation of a run: who sent what to whom, and when.

Used by all models. In the bulk runner there is no journal, so a run pays only for the question whether there is one;
a run that broke a rule is run again with one, which is the same run.
"""

from __future__ import annotations

from simulation.clock import START, Clock
from tcpservice.snapshot import SECOND

_SHOWN = 150


class Journal:
    """Lines of a conversation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lines: list[str] = []

    def note(self, who: str, text: str) -> None:
        """Write a line."""
        self.lines.append(f"{(self._clock.now - START) / SECOND:12.6f}  {who}: {text}")

    def sent(self, sender: str, receiver: str, data: bytes) -> None:
        """Write that bytes were sent."""
        text = data.decode("utf-8", "replace").replace("\n", "\\n")
        if len(text) > _SHOWN:
            text = f"{text[:_SHOWN]}... ({len(data)} bytes)"
        self.note(sender, f"-> {receiver}  {text}")

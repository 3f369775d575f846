"""The view of the recent traces: a list, newest first, and the chosen one as a tree with time bars.

Used by `screen`. The newest is chosen as long as nobody moves; then the choice stays with its trace as others come.
"""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from tcpservice_cli import panels
from tcpservice_traces import TraceStore, messages, render, styled, summary_of

_LISTED: Final = 50
_EMPTY: Final = "No traces yet: send a message, as with  tcpservice send NAME PATTERN DATA"


class TraceList:
    """The list, and which trace is chosen."""

    def __init__(self) -> None:
        self._pinned = ""
        self._step = 0

    def move(self, step: int) -> None:
        """Choose the trace that stands so many lines below."""
        self._step += step

    def draw(self, store: TraceStore, lines: int, width: int) -> RenderableType:
        """Draw the list and the tree in so many lines."""
        traces = store.recent(_LISTED)
        if not traces:
            return Text(_EMPTY, "dim")
        ids = [trace.trace_id for trace in traces]
        chosen = ids.index(self._pinned) if self._pinned in ids else 0
        if self._step:
            chosen = max(0, min(len(ids) - 1, chosen + self._step))
            self._pinned, self._step = (ids[chosen] if chosen else ""), 0
        trace = traces[chosen]
        tree = [styled(line) for line in (*render(trace, width), *messages(trace, width))]
        room = max(4, min(len(traces) + 1, lines - len(tree) - 1, lines // 3))
        summaries = [summary_of(trace) for trace in traces]
        return Group(panels.traces(summaries, chosen, room), Text(""), *tree[: lines - room - 1])

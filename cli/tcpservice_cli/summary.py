"""What is said at the end of a run: how many messages each replica got, and what failed.

Used by `up` and by the demo.
"""

from __future__ import annotations

from tcpservice_cli.times import milliseconds
from tcpservice_local.figures import Figures
from tcpservice_local.local import Local


def summary(local: Local) -> str:
    """Write the summary: a line for each service's routes and for each replica that got messages."""
    lines = []
    for service, route, _, ever in local.history.routes():
        failed = f", {ever.failed:,} failed" if ever.failed else ""
        name = service.partition("/")[2]
        lines.append(f"  {name} {route or '(other patterns)'}: {_count(ever.messages)}{failed}{_times(ever)}")
    if lines:
        lines.insert(0, "messages, as callers saw them:")
    counts = {name: local.history.ever(name, server=True).messages for name in local.history.names()}
    if any(counts.values()):
        lines.append("by replica:")
        lines += [f"  {name}  {count:,}" for name, count in counts.items() if count]
    return "\n".join(lines) or "no messages were sent"


def _times(figures: Figures) -> str:
    if figures.p50 is None or figures.p99 is None:
        return ""
    return f", p50 {milliseconds(figures.p50)}, p99 {milliseconds(figures.p99)}"


def _count(messages: int) -> str:
    return "1 message" if messages == 1 else f"{messages:,} messages"

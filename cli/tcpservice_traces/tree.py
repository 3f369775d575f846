"""The spans of one trace as a tree, row by row from the top.

Used by `lines` and `summary`. A hop through two sidecars makes a CLIENT span (the caller's sidecar, over all attempts)
and below it a SERVER span for each attempt that reached a replica's sidecar. Almost always there is one, which tells
the same story: those two are folded into one row, where the line above already says who the caller is. Anything more
(another attempt, another outcome, another name) keeps rows of its own.

An attempt may leave no span, as its replica died; the caller's sidecar noted it, and it gets a row too. What comes in
is not trusted: parents may be missing, or go round in circles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from tcpservice_traces.span import FailedAttempt, Span


class Row(Struct, frozen=True, kw_only=True):
    """One line of the tree.

    `span` names it; `caller` is the client span that is folded into it. Where `lost` is given, the row is that attempt
    of the client span `span`. `above` is the span of the row that this one hangs from; `depth` counts from 0 at a
    root, `last` says that no sibling follows, `leaf` that nothing hangs from it.
    """

    span: Span
    caller: Span | None = None
    lost: FailedAttempt | None = None
    above: Span | None = None
    depth: int = 0
    last: bool = True
    leaf: bool = True

    @property
    def outer(self) -> Span:
        """The span that covers the whole row: the caller's, where it is folded into it."""
        return self.caller or self.span


class _Place(NamedTuple):
    """What is still to be made a row, and where."""

    what: Span | FailedAttempt
    above: Span | None
    depth: int
    last: bool


def rows_of(spans: Iterable[Span]) -> list[Row]:
    """Return the rows of one trace's spans from the top; every span is in exactly one."""
    return list(_Walk(spans).rows())


def same_place(one: Span, other: Span) -> bool:
    """Say whether two spans were made by the same replica."""
    return (one.service, one.replica) == (other.service, other.replica)


def route_of(span: Span) -> str:
    """Return the route that the span is about, also where it was not allowed to become the span's name."""
    if span.attributes.get("rpc.method") == "_OTHER":
        return str(span.attributes.get("rpc.method_original", span.name))
    return span.name


class _Walk:
    """One way through a trace, with a stack of its own: a chain of spans may be deeper than Python's."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = {span.span_id: span for span in sorted(spans, key=_when)}
        self._children: dict[str, list[Span]] = {}
        for span in self._spans.values():
            self._children.setdefault(span.parent_id, []).append(span)
        self._seen: set[str] = set()

    def rows(self) -> Iterator[Row]:
        """Give all rows: the trees of all roots, then what hangs from no root, as its parents go round in circles."""
        roots = [span for span in self._spans.values() if span.parent_id not in self._spans]
        for span in (*roots, *self._spans.values()):
            if span.span_id not in self._seen:
                self._seen.add(span.span_id)
                yield from self._tree(span)

    def _tree(self, root: Span) -> Iterator[Row]:
        places = [_Place(root, None, 0, last=True)]
        while places:
            what, above, depth, last = places.pop()
            if isinstance(what, FailedAttempt):
                assert above is not None
                yield Row(span=above, lost=what, above=above, depth=depth, last=last)
                continue
            span, caller, below = what, None, self._below(what)
            server = _counterpart(what, below) if above is not None and same_place(what, above) else None
            if server is not None:
                span, caller, below = server, what, self._below(server)
            yield Row(span=span, caller=caller, above=above, depth=depth, last=last, leaf=not below)
            places += [_Place(each, span, depth + 1, last=each is below[-1]) for each in reversed(below)]

    def _below(self, span: Span) -> list[Span | FailedAttempt]:
        """Take what hangs from a span, in the order of time."""
        spans = [child for child in self._children.get(span.span_id, []) if child.span_id not in self._seen]
        self._seen.update(child.span_id for child in spans)
        return sorted([*spans, *_lost(span, spans)], key=_when)


def _counterpart(client: Span, below: Sequence[Span | FailedAttempt]) -> Span | None:
    """Return the server span that tells the same as its client span; None where they are two stories."""
    if client.kind != "client" or len(below) != 1:
        return None
    (server,) = below
    if isinstance(server, FailedAttempt) or server.kind != "server":
        return None
    same = (client.error, route_of(client)) == (server.error, route_of(server))
    return server if same else None


def _lost(client: Span, attempts: Sequence[Span]) -> list[FailedAttempt]:
    """Return the failed attempts of a client span of which no replica told.

    An attempt is told of by a span of its replica that began before it ended; a replica that does not say its name, or
    goes by one that the caller's sidecar does not know, may be any. A replica's own sidecar notes attempts too, at the
    app beside it; those are what its server span is about.
    """
    if client.kind != "client":
        return []
    known = {attempt.replica for attempt in client.failed} | {client.attributes.get("tcpservice.endpoint")}
    left, lost = list(attempts), []
    for attempt in client.failed:
        names = [span for span in left if span.replica == attempt.replica or span.replica not in known]
        told = next((span for span in names if span.start_ns <= attempt.at_ns), None)
        if told is None:
            lost.append(attempt)
        else:
            left.remove(told)
    return lost


def _when(what: Span | FailedAttempt) -> tuple[int, str]:
    if isinstance(what, FailedAttempt):
        return what.at_ns, ""
    return what.start_ns, what.span_id

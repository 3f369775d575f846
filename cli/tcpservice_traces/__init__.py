"""The traces of local mode: an OTLP receiver, the recent traces in memory, and each as a tree with time bars.

Used by `tcpservice up`, so that a newcomer sees where a message went and what took its time without a collector. A
span, top to bottom: `receiver` takes a request, `otlp` decodes it (`body` unpacks it), `store` puts the span into its
trace, `tree` finds the order of a trace's spans, `labels` and `bars` write the text of a line, `lines` sets the lines
into columns, and `payloads` adds what the messages said. Lines are plain data; `screen` turns them into text or, for
the live screen, into rich's `Text`.
"""

from tcpservice_traces.lines import Line, Segment, render
from tcpservice_traces.payloads import messages
from tcpservice_traces.receiver import Receiver
from tcpservice_traces.screen import plain, styled
from tcpservice_traces.span import FailedAttempt, Span
from tcpservice_traces.store import NoSuchTrace, Trace, TraceStore
from tcpservice_traces.summary import Summary, summary_of

__all__ = [
    "FailedAttempt",
    "Line",
    "NoSuchTrace",
    "Receiver",
    "Segment",
    "Span",
    "Summary",
    "Trace",
    "TraceStore",
    "messages",
    "plain",
    "render",
    "styled",
    "summary_of",
]

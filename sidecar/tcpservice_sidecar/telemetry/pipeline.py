"""From the event loop to the collector: bounded queues, a thread for each signal, one line in the log when it fails.

Used by `app`. A collector that is slow or gone costs a queue of spans and nothing else: the thread waits for it, the
loop never does, and what does not fit is counted and dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from tcpservice.exchange import Span
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.metrics import Metrics, Point
from tcpservice_sidecar.telemetry import points
from tcpservice_sidecar.telemetry.exporters import metric_exporter, span_exporter
from tcpservice_sidecar.telemetry.reports import LastError, Report
from tcpservice_sidecar.telemetry.sender import Sender
from tcpservice_sidecar.telemetry.spans import Encoder
from tcpservice_sidecar.telemetry.variables import Export, Telemetry

LAST_WORDS_S: Final = 3.0
"""How long the last batch may take when the sidecar leaves."""


class Pipeline:
    """All that one sidecar exports."""

    def __init__(self, settings: Telemetry, metrics: Metrics, log: Log) -> None:
        self._settings = settings
        self._metrics = metrics
        self._resource = Resource.create()
        self._spans: deque[Span] = deque()
        self._offset = time.time_ns() - time.monotonic_ns()
        self._errors = LastError()
        self._reports = {export: Report(export, log, self._errors) for export in _exports(settings)}
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to export."""
        loop = asyncio.get_running_loop()
        if self._settings.traces is not None:
            self._tasks.append(loop.create_task(self._send_spans(self._settings.traces)))
        if self._settings.metrics is not None:
            self._tasks.append(loop.create_task(self._send_metrics(self._settings.metrics)))

    def add(self, rows: Iterable[Span]) -> None:
        """Take spans to be exported; those for which the queue has no room are counted."""
        for span in rows:
            if len(self._spans) < self._settings.queue:
                self._spans.append(span)
            else:
                self._metrics.spans["dropped"] += 1

    async def stop(self) -> None:
        """Send what is left, within a moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in self._closing:
            close()

    async def _send_spans(self, export: Export) -> None:
        exporter = span_exporter(export)
        encoder = Encoder(self._offset, self._resource)
        self._closing.append(exporter.shutdown)

        def send(batch: list[Span]) -> bool:
            return exporter.export(encoder.encode(batch)) is SpanExportResult.SUCCESS

        def done(batch: list[Span], sent: bool) -> None:
            self._metrics.spans["exported" if sent else "failed"] += len(batch)
            self._reports[export].tell(sent)

        sender = Sender("spans", send, done)
        try:
            while True:
                await self._pause()
                await sender.idle.wait()
                if self._spans:
                    sender.send(self._take())
        finally:
            await self._last_spans(sender)
            sender.close()

    async def _pause(self) -> None:
        """Wait until it is time for a batch, or one is full."""
        settings = self._settings
        until = time.monotonic() + settings.spans_every
        while len(self._spans) < settings.batch and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))

    def _take(self) -> list[Span]:
        size = min(len(self._spans), self._settings.batch)
        return [self._spans.popleft() for _ in range(size)]

    async def _last_spans(self, sender: Sender[list[Span]]) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await sender.idle.wait()
                while self._spans:
                    sender.send(self._take())
                    await sender.idle.wait()
        except TimeoutError:
            self._metrics.spans["dropped"] += len(self._spans)

    async def _send_metrics(self, export: Export) -> None:
        exporter = metric_exporter(export)
        self._closing.append(exporter.shutdown)

        def send(batch: list[Point]) -> bool:
            data = points.to_otel(batch, self._metrics.started, time.time_ns(), self._resource)
            return exporter.export(data) is MetricExportResult.SUCCESS

        sender = Sender("metrics", send, lambda _, sent: self._reports[export].tell(sent))
        try:
            while True:
                await asyncio.sleep(self._settings.metrics_every)
                await sender.idle.wait()
                sender.send(list(self._metrics.points()))
        finally:
            await self._last_metrics(sender)
            sender.close()

    async def _last_metrics(self, sender: Sender[list[Point]]) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await sender.idle.wait()
                sender.send(list(self._metrics.points()))
                await sender.idle.wait()
        except TimeoutError:
            return


def _exports(settings: Telemetry) -> list[Export]:
    return [export for export in (settings.traces, settings.metrics) if export is not None]

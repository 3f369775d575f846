"""What the log says of a collector: one line when it takes nothing any more, and one when it does again.

Used by `pipeline`. OpenTelemetry's exporters complain in their own loggers, at each attempt; here only the last
complaint is kept, as the reason that the line gives.
"""

from __future__ import annotations

import logging

from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.telemetry.variables import Export


class LastError(logging.Handler):
    """Keeps the last complaint of OpenTelemetry's own loggers, instead of a line for each failed attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        logger = logging.getLogger("opentelemetry")
        logger.handlers = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one complaint, with the error behind it where there is one."""
        error = record.exc_info[1] if record.exc_info else None
        self.text = f"{record.getMessage()}: {error}" if error else record.getMessage()


class Report:
    """One line when a collector cannot be reached any more, and one when it can be again."""

    def __init__(self, export: Export, log: Log, errors: LastError) -> None:
        self._export = export
        self._log = log
        self._errors = errors
        self._failing = False

    def tell(self, sent: bool) -> None:
        """Note whether a batch was taken."""
        if sent is not self._failing:
            return
        self._failing = not sent
        export = self._export
        where = f"{export.endpoint} ({export.variable}, {export.protocol})"
        if sent:
            self._log.info("collector_up", f"{where} takes telemetry again")
        else:
            why = self._errors.text.splitlines()[0][:300] if self._errors.text else "no reason given"
            self._log.warn("collector_down", f"{where} takes no telemetry: {why}")

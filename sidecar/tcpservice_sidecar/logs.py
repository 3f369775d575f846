"""The sidecar's log: one line per event on stderr, for people on a terminal, as JSON elsewhere.

Used by the whole shell. Events carry the same codes as errors and metrics, in `event`. There is no line per message,
and a flood of one kind of event (a port scan, say) is cut to a few lines a second and a count of the rest.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import Final, Protocol

import orjson

LINES_PER_SECOND: Final = 10

_LOGGER = logging.getLogger("tcpservice")


class Stream(Protocol):
    """Where lines go."""

    def isatty(self) -> bool:
        """Whether people read along."""

    def write(self, line: str, /) -> int:
        """Take a line."""

    def flush(self) -> None:
        """Take what is held back."""


class Log:
    """Writes events."""

    def __init__(self, stream: Stream, log_format: str = "auto") -> None:
        human = log_format == "human" or (log_format == "auto" and stream.isatty())
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_Human() if human else _Json())
        _LOGGER.handlers = [handler]
        _LOGGER.propagate = False
        _LOGGER.setLevel(logging.INFO)
        self._windows: dict[str, _Window] = {}

    def info(self, event: str, text: str, **fields: object) -> None:
        """Note what is as it should be."""
        self._write(logging.INFO, event, text, fields)

    def warn(self, event: str, text: str, **fields: object) -> None:
        """Note what somebody may want to mend."""
        self._write(logging.WARNING, event, text, fields)

    def error(self, event: str, text: str, **fields: object) -> None:
        """Note what somebody has to mend."""
        self._write(logging.ERROR, event, text, fields)

    def _write(self, level: int, event: str, text: str, fields: dict[str, object]) -> None:
        window = self._windows.setdefault(event, _Window())
        suppressed = window.admit(int(time.monotonic()))
        if suppressed is None:
            return
        if suppressed:
            fields["suppressed"] = suppressed
        known = {key: value for key, value in fields.items() if value not in (None, "")}
        _LOGGER.log(level, text, extra={"event": event, "fields": known})


class Foreign(logging.Handler):
    """Takes what libraries log: one line each, at the pace of all other lines, and never on stderr past the log.

    Python writes it to stderr itself otherwise, from the event loop, which then waits for whoever reads it.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record. What a peer of the admin port did wrong needs no traceback."""
        error = record.exc_info[1] if record.exc_info else None
        text = f"{record.name}: {record.getMessage()}"
        if error is None:
            self._log.warn("internal_error", text)
        elif record.name.startswith("aiohttp"):
            self._log.warn("request_malformed", f"{text}: {_one_line(str(error)) or type(error).__name__}")
        else:
            trace = "".join(traceback.format_exception(error))
            self._log.error("internal_error", f"{text}: {type(error).__name__}: {error}", traceback=trace)


class _Window:
    """One second of one kind of event."""

    def __init__(self) -> None:
        self._second = -1
        self._lines = 0
        self._suppressed = 0

    def admit(self, second: int) -> int | None:
        """Return None to keep a line back, else how many were kept back before it."""
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= LINES_PER_SECOND:
            self._suppressed += 1
            return None
        self._lines += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed


class _Human(logging.Formatter):
    """`12:03:44 warning endpoint_ejected: connection refused (service=shop/orders replica=10.0.0.1:3001)`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = self.formatTime(record, "%H:%M:%S")
        fields = " ".join(f"{key}={value}" for key, value in record.__dict__["fields"].items())
        line = f"{clock} {record.levelname.lower()} {record.__dict__['event']}: {record.getMessage()}"
        return _one_line(f"{line} ({fields})" if fields else line)


class _Json(logging.Formatter):
    """An object with time, level, event, message and whatever belongs to the event."""

    def format(self, record: logging.LogRecord) -> str:
        seconds, millis = divmod(int(record.created * 1000), 1000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{millis:03d}Z"
        line = {
            "time": stamp,
            "level": record.levelname.lower(),
            "event": record.__dict__["event"],
            "message": record.getMessage(),
            **record.__dict__["fields"],
        }
        return orjson.dumps(line, default=str).decode()


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")

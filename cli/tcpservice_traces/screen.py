"""A line as text, and with their colours as rich's `Text`.

Used by whoever shows traces, on a live screen or by `print`; nothing else of this package knows rich.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from tcpservice_traces.lines import Line

STYLES: Final[Mapping[str, str]] = {
    "id": "bold",
    "title": "bold",
    "tree": "bright_black",
    "route": "",
    "duration": "bold",
    "note": "bright_black",
    "wire": "bright_black",
    "retry": "yellow",
    "error": "bold red",
    "service.0": "cyan",
    "service.1": "green",
    "service.2": "magenta",
    "service.3": "blue",
    "service.4": "bright_cyan",
    "service.5": "bright_green",
}
"""The sixteen colours that every terminal has, as the user has set them; red is kept for what failed."""


def plain(line: Line) -> str:
    """Return a line without colours."""
    return "".join(segment.text for segment in line)


def styled(line: Line) -> Text:
    """Return a line as a text of rich, which is to be shown as it is: neither wrapped nor cut."""
    styles = [(segment.text, STYLES.get(segment.style, "")) for segment in line]
    return Text.assemble(*styles, no_wrap=True, overflow="ignore")

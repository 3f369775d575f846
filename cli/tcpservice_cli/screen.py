"""The live screen of `tcpservice up`: the replicas and routes with their figures, traces, logs, and keys.

Used by `up` on a terminal. Drawn four times a second with rich; what there is to draw is made by `panels`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.text import Text

from tcpservice_cli import keys, panels
from tcpservice_cli.logview import LogView
from tcpservice_cli.tracelist import TraceList
from tcpservice_cli.troubles import Troubles
from tcpservice_local.addresses import NoPortError
from tcpservice_local.control import Replica, replica_of
from tcpservice_local.local import Local
from tcpservice_local.pod import Pod

_EVERY_S: Final = 0.25
_VIEWS: Final = ("replicas", "traces", "logs")
_ALWAYS: Final = (("Tab", "view"), ("q", "end"))
_KEYS: Final = {
    "replicas": (
        ("↑↓", "choose"), ("l", "logs"), ("k", "kill"), ("s", "stop"), ("r", "restart"), ("f", "freeze"),
        ("+-", "scale"), *_ALWAYS,
    ),
    "traces": (("↑↓", "choose"), *_ALWAYS),
    "logs": (("↑↓ PgUp PgDn", "scroll"), ("End", "newest"), ("/", "search"), ("w", "whose"), *_ALWAYS),
}  # fmt: skip


class Screen:
    """Draws a run, and does what keys say."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._local: Local | None = None
        self._ended = asyncio.Event()
        self._drawn = asyncio.Event()
        self._selected = ""
        self._view = 0
        self._traces = TraceList()
        self._logs = LogView()
        self._troubles = Troubles()

    def told(self, who: str, line: str) -> None:
        """Do nothing: the run keeps the lines of the processes, and the screen draws them from there."""

    def said(self, text: str) -> None:
        """Do nothing, for the same reason."""

    def _note(self, text: str) -> None:
        """Add a line of the screen's own to those of the run."""
        assert self._local is not None
        self._local.log.add("", text)

    def changed(self) -> None:
        """Say what is wrong with a replica that has just ended, and draw anew."""
        for line in self._troubles.news(self._pods()):
            self._note(line)
        self._drawn.set()

    def attach(self, local: Local) -> None:
        """Draw this run from now on."""
        self._local = local

    async def show(self, local: Local, ended: asyncio.Event) -> None:
        """Draw the run until it is ended."""
        self.attach(local)
        self._ended = ended
        with Live(console=self._console, screen=True, auto_refresh=False) as live, keys.pressed(self.press):
            while not ended.is_set():
                live.update(self.draw(self._console.size), refresh=True)
                self._drawn.clear()
                await _first(self._drawn, ended, within=_EVERY_S)
        self._console.print("ending ...")
        self._local = None

    def draw(self, size: tuple[int, int]) -> RenderableType:
        """Draw one view between the heading and the keys, in so many columns and lines."""
        width, height = size
        bodies = {"replicas": self._draw_replicas, "traces": self._draw_traces, "logs": self._draw_logs}
        view = _VIEWS[self._view]
        body = bodies[view](height - 2, width)
        layout = Layout()
        layout.split_column(
            Layout(self._heading(width), size=1), Layout(body), Layout(panels.keys(_KEYS[view]), size=1)
        )
        return layout

    # Keys

    def press(self, key: str) -> None:
        """Do what a key says."""
        if _VIEWS[self._view] == "logs" and self._logs.press(key, [pod.name for pod in self._pods()]):
            self._drawn.set()
            return
        if key in ("q", "\x03"):
            self._ended.set()
        elif key in (keys.TAB, keys.RIGHT, keys.LEFT):
            self._view = (self._view + (-1 if key == keys.LEFT else 1)) % len(_VIEWS)
        elif key in (keys.UP, keys.DOWN):
            self._move(-1 if key == keys.UP else 1)
        elif _VIEWS[self._view] == "replicas":
            self._act(key)
        self._drawn.set()

    def _move(self, step: int) -> None:
        if _VIEWS[self._view] == "traces":
            self._traces.move(step)
            return
        names = [pod.name for pod in self._pods()]
        if names:
            at = names.index(self._selected) if self._selected in names else 0
            self._selected = names[max(0, min(len(names) - 1, at + step))]

    def _scale(self, pod: Pod, step: int) -> None:
        assert self._local is not None
        fleet, workload = self._local.fleet, pod.design.workload
        if fleet.replicas(workload) + step < 1:
            self._note(f"{pod.name} is the last replica, and stays: s stops it")
            return
        try:
            fleet.scale(workload, fleet.replicas(workload) + step)
        except NoPortError as error:
            self._note(str(error))

    def _act(self, key: str) -> None:
        pod = self._chosen()
        if pod is None or self._local is None:
            return
        if key == "l":
            self._logs.choose(pod.name)
            self._view = _VIEWS.index("logs")
            return
        if key in ("+", "=", "-"):
            self._scale(pod, -1 if key == "-" else 1)
            return
        fleet = self._local.fleet
        actions: dict[str, Callable[[str], None]] = {
            "k": fleet.kill, "s": fleet.stop, "r": fleet.restart, "f": fleet.toggle_pause,
        }  # fmt: skip
        action = actions.get(key)
        if action is not None:
            action(pod.name)

    def _chosen(self) -> Pod | None:
        pods = self._pods()
        return next((pod for pod in pods if pod.name == self._selected), pods[0] if pods else None)

    def _pods(self) -> list[Pod]:
        return list(self._local.fleet.pods.values()) if self._local is not None else []

    # Drawing

    def _heading(self, width: int) -> Text:
        assert self._local is not None
        fleet = self._local.fleet
        places = "  ".join(f"{service.name} :{fleet.ports[service.key]}" for service in fleet.plan.services)
        views = " ".join(f"[{name}]" if at == self._view else f" {name} " for at, name in enumerate(_VIEWS))
        return panels.title(f"tcpservice up  127.0.0.1  {places}", views, width)

    def _draw_replicas(self, lines: int, width: int) -> RenderableType:
        assert self._local is not None
        rows = [self._row(pod) for pod in self._pods()]
        found = self._routes()
        for_routes = min(len(found), max(3, lines // 4)) + 1 if found else 0
        for_replicas = min(len(rows) + 1, max(4, lines - for_routes - 6))
        chosen = self._chosen()
        selected = next((at for at, row in enumerate(rows) if chosen is not None and row.name == chosen.name), 0)
        parts: list[RenderableType] = [panels.replicas(rows, selected, for_replicas, width), Text("")]
        if found:
            parts += [panels.routes(found, for_routes), Text("")]
        left = lines - for_replicas - for_routes - (3 if found else 2)
        return Group(*parts, panels.journal(self._local.log.recent(), left, width))

    def _draw_logs(self, lines: int, width: int) -> RenderableType:
        assert self._local is not None
        return self._logs.draw(self._local.log, lines, width)

    def _draw_traces(self, lines: int, width: int) -> RenderableType:
        assert self._local is not None
        if self._local.collector is not None:
            return Text(f"Traces go to {self._local.collector}, as your shell's OTEL_* variables say.")
        return self._traces.draw(self._local.traces, lines, width)

    def _row(self, pod: Pod) -> Replica:
        assert self._local is not None
        return replica_of(pod, self._local.history)

    def _routes(self) -> list[panels.RouteRow]:
        assert self._local is not None
        return [
            panels.RouteRow(service=service.partition("/")[2], route=route, lately=lately, ever=ever)
            for service, route, lately, ever in self._local.history.routes()
        ]


async def _first(*events: asyncio.Event, within: float) -> None:
    """Wait for the first of some events, or for a time."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()

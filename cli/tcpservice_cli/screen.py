"""The live screen of `tcpservice up`: the replicas and routes with their figures, traces, logs, and keys.

Used by `up` on a terminal. Drawn four times a second with rich; what there is to draw is made by `panels`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.text import Text

from tcpservice_cli import keys, panels
from tcpservice_cli.tracelist import TraceList
from tcpservice_cli.troubles import Troubles
from tcpservice_local.addresses import NoPortError
from tcpservice_local.figures import Figures
from tcpservice_local.local import Local
from tcpservice_local.pod import STOPPED, Pod

_EVERY_S: Final = 0.25
_KEPT: Final = 1000
_VIEWS: Final = ("replicas", "traces", "logs")
_ALWAYS: Final = (("Tab", "view"), ("q", "end"))
_KEYS: Final = {
    "replicas": (
        ("↑↓", "choose"), ("k", "kill"), ("s", "stop"), ("r", "restart"), ("f", "freeze"), ("+-", "scale"), *_ALWAYS,
    ),
    "traces": (("↑↓", "choose"), *_ALWAYS),
    "logs": _ALWAYS,
}  # fmt: skip


class Screen:
    """Draws a run, and does what keys say."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._entries: deque[tuple[str, str]] = deque(maxlen=_KEPT)
        self._local: Local | None = None
        self._ended = asyncio.Event()
        self._drawn = asyncio.Event()
        self._selected = ""
        self._view = 0
        self._traces = TraceList()
        self._troubles = Troubles()

    def told(self, who: str, line: str) -> None:
        """Keep a line of a process."""
        self._entries.append((who, line))

    def said(self, text: str) -> None:
        """Keep what the run has to say."""
        self._entries.extend(("", line) for line in text.splitlines())

    def changed(self) -> None:
        """Say what is wrong with a replica that has just ended, and draw anew."""
        for line in self._troubles.news(self._pods()):
            self.said(line)
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
            self.said(f"{pod.name} is the last replica, and stays: s stops it")
            return
        try:
            fleet.scale(workload, fleet.replicas(workload) + step)
        except NoPortError as error:
            self.said(str(error))

    def _act(self, key: str) -> None:
        pod = self._chosen()
        if pod is None or self._local is None:
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
        return Group(*parts, panels.journal(self._entries, left, width))

    def _draw_logs(self, lines: int, width: int) -> RenderableType:
        return panels.journal(self._entries, lines, width)

    def _draw_traces(self, lines: int, width: int) -> RenderableType:
        assert self._local is not None
        if self._local.collector is not None:
            return Text(f"Traces go to {self._local.collector}, as your shell's OTEL_* variables say.")
        return self._traces.draw(self._local.traces, lines, width)

    def _row(self, pod: Pod) -> panels.ReplicaRow:
        assert self._local is not None
        history, sends = self._local.history, not pod.design.serves
        sample = history.latest(pod.name)
        return panels.ReplicaRow(
            name=pod.name,
            state=pod.state,
            pid=pod.app.pid,
            restarts=pod.app.restarts,
            waiting=pod.app.waiting,
            in_flight=(sample.at_replicas if sends else sample.at_app) if sample is not None else 0,
            lately=history.lately(pod.name, server=not sends) if pod.state != STOPPED else Figures(),
            failed=history.ever(pod.name, server=not sends).failed,
            sends=sends,
        )

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

"""A running sidecar between plain sockets, and what it says of itself by HTTP and in its log."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interop.rawpeer import RawCaller, RawReplica, frame
from interop.sidecar import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interop.rawpeer import Arrived

SECONDS = 30.0


class Answer(NamedTuple):
    """An answer of the admin port."""

    status: int
    text: str


def balancing(*replicas: RawReplica, flags: tuple[str, ...] = ()) -> Sidecar:
    """Make the sidecar of callers: `orders` is balanced over the replicas."""
    addresses = ",".join(f"127.0.0.1:{replica.port}" for replica in replicas)
    return Sidecar(
        "--upstream", f"orders={addresses}", "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0", *flags
    )


@contextmanager
def between(*, flags: tuple[str, ...] = ()) -> Iterator[tuple[RawReplica, Sidecar]]:
    """Run one replica and a sidecar before it."""
    with RawReplica() as replica, balancing(replica, flags=flags) as sidecar:
        yield replica, sidecar


def caller(sidecar: Sidecar) -> RawCaller:
    """Connect to `orders`."""
    return RawCaller(sidecar.ports["orders"])


def reply(request_id: object, value: object = "ok") -> bytes:
    """Write the last response to a request."""
    packet = {"response": value, "isDisposed": True, "id": request_id}
    return frame(json.dumps(packet, separators=(",", ":"), ensure_ascii=False).encode())


def packet(client: RawCaller) -> Any:
    """Read one frame and return what is in it (ASCII only)."""
    prefix = b""
    while not prefix.endswith(b"#"):
        prefix += client.read(1)
    return json.loads(client.read(int(prefix[:-1])))


def serve(replica: RawReplica, count: int) -> None:
    """Answer that many requests."""
    for _ in range(count):
        arrived = replica.next()
        arrived.answer(reply(arrived.id))


@contextmanager
def treating(replica: RawReplica, treat: Callable[[Arrived], None]) -> Iterator[None]:
    """Treat each message that arrives, at once and however many there are."""

    def treat_all() -> None:
        while not ended.wait(0.01):
            while replica.waiting():
                treat(replica.next())

    ended, thread = threading.Event(), threading.Thread(target=treat_all)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


HOOKS = ("/leave", "/gate", "/drain")


def ask(sidecar: Sidecar, path: str, *, method: str = "", headers: dict[str, str] | None = None) -> Answer:
    """Ask the admin port: by POST for what changes the state, if nothing else is said."""
    method = method or ("POST" if path in HOOKS else "GET")
    url = f"http://127.0.0.1:{sidecar.ports['admin']}{path}"
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode())


def view(sidecar: Sidecar) -> Any:
    """Return what `/snapshot` says."""
    return json.loads(ask(sidecar, "/snapshot").text)


def events(sidecar: Sidecar, name: str | None = None) -> list[dict[str, Any]]:
    """Return the events in its log, of one kind or all."""
    found = [json.loads(line) for line in sidecar.stderr.splitlines() if line.endswith("}")]
    return [event for event in found if name in (None, event["event"])]


def logged(sidecar: Sidecar, name: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until its log has so many events of a kind, as lines may come after what they tell of; return them."""
    wait_until(lambda: len(events(sidecar, name)) >= count, f"its log has {count} events {name}")
    return events(sidecar, name)


def memory(sidecar: Sidecar) -> int:
    """Return the resident bytes of the sidecar."""
    status = Path(f"/proc/{sidecar.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS:g} s: {what}"
        time.sleep(0.02)

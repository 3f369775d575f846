"""The ways from a client to a replica: directly, over one sidecar, over two with the mesh hop between, or over two that
trace every message, and so write into each.

What a client sees must not depend on the way; the tests compare the ways with `direct`.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.sidecar import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Way = Literal["direct", "one", "two", "traced"]
WAYS: tuple[Way, ...] = get_args(Way)
SIDECAR_WAYS: tuple[Way, ...] = ("one", "two", "traced")
UNTOUCHED_WAYS: tuple[Way, ...] = ("one", "two")

TRACED = {"tracing": {"samplingPercent": "100"}}
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
"""Nobody is there: what the spans say is tested elsewhere; here only that the messages are none the worse."""


class Front:
    """Where to dial each service, and the sidecars on the way (the one that callers dial comes last)."""

    def __init__(self, ports: Mapping[str, int], sidecars: Sequence[Sidecar] = ()) -> None:
        self.ports = dict(ports)
        self.sidecars = list(sidecars)


@contextmanager
def front(way: Way, replicas: Mapping[str, Sequence[int]]) -> Iterator[Front]:
    """Open a way to the replicas' ports, by service; its sidecars end with the context."""
    with ExitStack() as stack:
        if way == "direct":
            yield Front({name: ports[0] for name, ports in replicas.items()})
        elif way == "one":
            sidecar = stack.enter_context(Sidecar(*_upstreams(replicas)))
            yield Front(sidecar.ports, [sidecar])
        else:
            yield _two(stack, replicas, traced=way == "traced")


def _upstreams(replicas: Mapping[str, Sequence[int]]) -> list[str]:
    args = []
    for name, ports in replicas.items():
        args += ["--upstream", f"{name}=" + ",".join(f"127.0.0.1:{port}" for port in ports)]
        args += ["--listen", f"{name}=127.0.0.1:0"]
    return args


def _two(stack: ExitStack, replicas: Mapping[str, Sequence[int]], *, traced: bool) -> Front:
    env = COLLECTOR if traced else {}
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    documents = []
    sidecars = []
    for name, ports in replicas.items():
        service = tcp_service(name, TRACED)
        own = write_documents(directory / f"{name}.yaml", [service])
        documents.append(service)
        for serial, port in enumerate(ports, 1):
            args = ["--file", str(own), "--mesh", "127.0.0.1:0", "--app", f"{name}=127.0.0.1:{port}"]
            replica = stack.enter_context(Sidecar(*args, env=env))
            sidecars.append(replica)
            documents.append(endpoint_slice(name, replica.ports["mesh"], serial=serial))
    snapshot = write_documents(directory / "callers.yaml", documents)
    listeners = [arg for name in replicas for arg in ("--listen", f"{name}=127.0.0.1:0")]
    caller = stack.enter_context(Sidecar("--file", str(snapshot), *listeners, env=env))
    return Front(caller.ports, [*sidecars, caller])

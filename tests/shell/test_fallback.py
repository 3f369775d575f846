"""A replica whose sidecar's port is closed to its callers is reached at its app, until the sidecar can be reached."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, request
from interop.sidecar import Sidecar
from shell.running import logged, packet, reply, view, wait_until


def seen(sidecar: Sidecar) -> set[tuple[str, str]]:
    """Return where the endpoints of the service are, and how they do."""
    (service,) = view(sidecar)["services"]
    return {(endpoint["address"], endpoint["state"]) for endpoint in service["endpoints"]}


@pytest.mark.parametrize("protocol", ["NestJS", "Opaque"])
def test_messages_go_to_the_app_while_its_sidecars_port_is_closed(tmp_path: Path, protocol: str) -> None:
    with RawReplica() as app, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()  # nothing listens there now
        service = tcp_service("orders", {"protocol": protocol})
        slices = endpoint_slice("orders", port, port_name="mesh")
        slices["ports"].append({"name": "app", "port": app.port, "protocol": "TCP"})
        file = str(write_documents(tmp_path / "orders.yaml", [service, slices]))
        flags = ("--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0")
        with Sidecar("--file", file, *flags) as sidecar, RawCaller(sidecar.ports["orders"]) as caller:

            def answered(id_: str) -> bool:
                caller.send(request("sum", 1, id_))
                arrived = app.next()
                arrived.answer(reply(arrived.id))
                return bool(packet(caller)["response"] == "ok")

            assert answered("1")
            assert answered("2")
            logged(sidecar, "sidecars_bypassed")
            assert (f"127.0.0.1:{app.port}", "fallback") in seen(sidecar)
            if protocol == "Opaque":
                return
            pod = ("--mesh", f"127.0.0.1:{port}", "--app", f"orders=127.0.0.1:{app.port}")
            with Sidecar("--file", file, *pod):
                wait_until(lambda: seen(sidecar) == {(f"127.0.0.1:{port}", "healthy")}, "the sidecar is used again")
                assert answered("3")

"""Where the snapshot comes from: files and folders that change, names that are resolved again."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawReplica, request
from interop.sidecar import Sidecar
from shell.running import ask, caller, events, logged, packet, serve, view, wait_until
from tcpservice_sidecar.addresses import parse_upstream
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.names import Names
from tcpservice_sidecar.polling import PollWait
from tcpservice_sidecar.upstreams import UpstreamSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_documents(tmp_path / "service.yaml", [tcp_service("orders")])
    write_documents(tmp_path / "slice.json", [endpoint_slice("orders", 1, port_name="app")])
    (tmp_path / "notes.txt").write_text("not a manifest")
    return tmp_path


@pytest.fixture
def sidecar(folder: Path) -> Iterator[Sidecar]:
    with Sidecar("--file", str(folder), "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0") as running:
        yield running


def addresses(sidecar: Sidecar) -> list[str]:
    return [replica["address"] for service in view(sidecar)["services"] for replica in service["endpoints"]]


def test_a_change_of_a_file_is_taken_in(folder: Path, sidecar: Sidecar) -> None:
    assert addresses(sidecar) == ["127.0.0.1:1"]
    with RawReplica() as replica, caller(sidecar) as client:
        write_documents(folder / "slice.json", [endpoint_slice("orders", replica.port, port_name="app")])
        wait_until(lambda: addresses(sidecar) == [f"127.0.0.1:{replica.port}"], "the new replica is there")
        client.send(request("sum", 1, "1"))
        serve(replica, 1)
        assert packet(client)["response"] == "ok"
    assert logged(sidecar, "snapshot_taken")[0]["message"] == "1 services, 1 endpoints"


def test_a_file_that_became_wrong_changes_nothing_and_is_reported_once(folder: Path, sidecar: Sidecar) -> None:
    (folder / "slice.json").write_text('{"apiVersion": "v1", "kind": ')
    problem, verdict = (event["message"] for event in logged(sidecar, "manifest_refused", 2))
    assert "slice.json" in problem
    assert verdict == "the last good state stays in force"
    assert addresses(sidecar) == ["127.0.0.1:1"]
    assert ask(sidecar, "/readyz").status == 200


def test_a_file_that_cannot_be_read_changes_nothing_and_is_reported_once(tmp_path: Path) -> None:
    path = write_documents(tmp_path / "a.yaml", [tcp_service("orders"), endpoint_slice("orders", 1, port_name="app")])
    with Sidecar("--file", str(path), "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0") as sidecar:
        text = path.read_text()
        path.unlink()
        logged(sidecar, "manifest_unreadable")
        assert addresses(sidecar) == ["127.0.0.1:1"]
        path.write_text(text.replace("127.0.0.1", "127.0.0.2"))
        wait_until(lambda: addresses(sidecar) == ["127.0.0.2:1"], "the file is taken in again")
        assert len(events(sidecar, "manifest_unreadable")) == 1


def test_a_pause_lasts_until_it_is_cut_short() -> None:
    async def scene() -> None:
        pause = PollWait(1000.0)
        pause.cut()
        await asyncio.wait_for(pause.wait(), 5)
        waiting = asyncio.ensure_future(pause.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        pause.cut()
        await asyncio.wait_for(waiting, 5)
        await PollWait(0.0).wait()

    asyncio.run(scene())


def test_a_signal_makes_it_look_at_its_files_at_once(folder: Path, sidecar: Sidecar) -> None:
    write_documents(folder / "slice.json", [endpoint_slice("orders", 2, port_name="app")])
    sidecar.signal(signal.SIGUSR1)
    wait_until(lambda: addresses(sidecar) == ["127.0.0.1:2"], "the change is taken in")
    assert sidecar.process.alive


def test_a_service_that_goes_away_has_no_replicas(folder: Path, sidecar: Sidecar) -> None:
    write_documents(folder / "service.yaml", [tcp_service("other")])
    write_documents(folder / "slice.json", [endpoint_slice("other", 1, port_name="app")])
    wait_until(lambda: len(view(sidecar)["services"]) == 2, "the change is taken in")
    with caller(sidecar) as client:
        client.send(request("sum", 1, "1"))
        assert packet(client)["err"]["code"] == "no_endpoints"


def test_names_are_resolved_again_and_the_last_addresses_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver is the one part that is not real: no name on a test machine changes on command."""
    found: list[list[str] | OSError] = [
        ["10.0.0.1", "10.0.0.2"], socket.gaierror(-2, "Name or service not known"),
        socket.gaierror(-2, "Name or service not known"), ["10.0.0.3"], socket.gaierror(-3, "Try again"),
    ]  # fmt: skip

    async def addresses(_: Names, host: str) -> list[str]:
        assert host == "orders.local"
        result = found.pop(0)
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr(Names, "addresses", addresses)
    log = io.StringIO()
    source = UpstreamSource((parse_upstream("shop/orders=orders.local:3001,127.0.0.1:1"),), Names(), Log(log, "json"))

    async def load_often() -> list[list[str]]:
        return [[endpoint.name for endpoint in (await source.load()).services[0].endpoints] for _ in range(5)]

    first = ["orders.local/10.0.0.1:3001", "orders.local/10.0.0.2:3001", "127.0.0.1:1"]
    last = ["orders.local/10.0.0.3:3001", "127.0.0.1:1"]
    with asyncio.Runner() as runner:
        assert runner.run(load_often()) == [first, first, first, last, last]
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in told] == ["unresolved", "unresolved"]
    assert "the host orders.local does not resolve (Name or service not known)" in told[0]["message"]


def test_a_resolved_change_is_given_on(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [["10.0.0.1"], ["10.0.0.1"], ["10.0.0.2"]]

    async def addresses(_: Names, __: str) -> list[str]:
        return hosts.pop(0) if len(hosts) > 1 else hosts[0]

    monkeypatch.setattr(Names, "addresses", addresses)
    monkeypatch.setattr("tcpservice_sidecar.upstreams._RESOLVE_S", 0.001)
    source = UpstreamSource((parse_upstream("orders=orders.local:3001"),), Names(), Log(io.StringIO(), "json"))

    async def first_change() -> str:
        await source.load()
        changed: asyncio.Queue[str] = asyncio.Queue()
        watching = asyncio.create_task(source.watch(lambda s: changed.put_nowait(s.services[0].endpoints[0].host)))
        host = await changed.get()
        watching.cancel()
        return host

    with asyncio.Runner() as runner:
        assert runner.run(first_change()) == "10.0.0.2"


def test_a_name_that_begins_to_resolve_before_it_is_watched_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[str]] = [[], ["10.0.0.1"]]

    async def addresses(_: Names, __: str) -> list[str]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(Names, "addresses", addresses)
    source = UpstreamSource((parse_upstream("orders=orders.local:3001"),), Names(), Log(io.StringIO(), "json"))

    async def scene() -> str:
        assert not (await source.load()).services[0].endpoints
        changed: asyncio.Queue[str] = asyncio.Queue()
        watching = asyncio.create_task(source.watch(lambda s: changed.put_nowait(s.services[0].endpoints[0].host)))
        host = await asyncio.wait_for(changed.get(), 10)
        watching.cancel()
        return host

    with asyncio.Runner() as runner:
        assert runner.run(scene()) == "10.0.0.1"

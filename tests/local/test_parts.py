"""Backoff, addresses, hints, slices and figures: what local mode decides without any process."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.manifests import tcp_service
from tcpservice.spec import read
from tcpservice_local.addresses import Addresses, NoPortError
from tcpservice_local.backoff import Backoff
from tcpservice_local.debugging import with_debugger
from tcpservice_local.figures import History, Sample, quantile, read_sample
from tcpservice_local.fleet_plan import ServicePlan
from tcpservice_local.hints import hint
from tcpservice_local.sidecar_flags import is_news
from tcpservice_local.slices import Endpoint, slices_of
from tcpservice_local.tasks import begin

INF = float("inf")


def claimed(port: int) -> object:
    return port


def test_two_runs_that_begin_at_once_have_different_fronts() -> None:
    one, other = Addresses(), Addresses()
    try:
        first = one.front("shop/a", 4699, exactly=False)
        second = other.front("shop/a", 4699, exactly=False)
        assert (first, second == 4699) == (4699, False)
        with pytest.raises(NoPortError, match="the port 4699, asked for shop/b, is taken"):
            other.front("shop/b", 4699, exactly=True)
        one.close()
        assert other.front("shop/b", 4699, exactly=True) == 4699
    finally:
        one.close()
        other.close()


def test_the_kubelets_backoff() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert [backoff.after(601.0), backoff.after(1.0)] == [0, 10]
    backoff.forget()
    assert backoff.after(1.0) == 0


def test_a_port_is_given_once_and_kept() -> None:
    addresses = Addresses(lambda *at: at[1] != 20_002, claimed)
    assert addresses.port("a-1", "mesh") == 20_001
    assert addresses.port("a-1", "admin") == 20_003
    assert addresses.port("a-1", "mesh") == 20_001


def test_blocks_that_another_run_has_claimed_are_left_alone() -> None:
    addresses = Addresses(lambda *_: True, lambda port: None if port in (20_000, 20_200) else port)
    ports = [addresses.port("a", number) for number in range(150)]
    assert {port // 100 for port in ports} == {201, 203}
    assert len(set(ports)) == 150


def test_two_runs_never_draw_the_same_port() -> None:
    one, other = Addresses(), Addresses()
    assert not {one.port("a", number) for number in range(20)} & {other.port("a", number) for number in range(20)}
    assert one.outlet("a", "b", 1)[0] != other.outlet("a", "b", 1)[0]
    one.close()
    other.close()


def test_without_a_free_port_one_is_told() -> None:
    with pytest.raises(NoPortError, match="no port from 20000 to 31999 is free"):
        Addresses(lambda *_: False, claimed).port("a-1", "mesh")
    with pytest.raises(NoPortError, match="no port from 20000 to 31999 is free"):
        Addresses(lambda *_: True, lambda _: None).outlet("a-1", "shop/b", 1)


def test_a_front_has_the_services_port_or_another_or_the_one_that_was_asked_for() -> None:
    addresses = Addresses(lambda *at: at[1] != 4000, claimed, claimed)
    assert addresses.front("shop/a", 3001, exactly=False) == 3001
    assert addresses.front("shop/b", 3001, exactly=False) == 20_001
    assert addresses.front("shop/b", 3001, exactly=False) == 20_001
    assert addresses.front("shop/b", 3009, exactly=False) == 3009
    assert addresses.front("shop/c", 3005, exactly=True) == 3005
    with pytest.raises(NoPortError, match="the port 4000, asked for shop/d, is taken"):
        addresses.front("shop/d", 4000, exactly=True)


def test_outlets_have_the_services_port_on_an_address_of_their_own() -> None:
    addresses = Addresses(lambda *_: True, claimed, claimed)
    assert addresses.outlet("a-1", "shop/b", 3001) == ("127.77.0.1", 3001)
    assert addresses.outlet("a-2", "shop/b", 3001) == ("127.77.0.2", 3001)
    assert addresses.outlet("a-1", "shop/b", 3001) == ("127.77.0.1", 3001)
    assert addresses.outlet("a-1", "shop/b", 3002)[1] == 3002


def test_where_there_is_one_loopback_address_outlets_have_ports_of_their_own() -> None:
    addresses = Addresses(lambda *at: at[0] == "127.0.0.1", claimed)
    assert addresses.outlet("a-1", "shop/b", 3001) == ("127.0.0.1", 20_001)
    assert addresses.outlet("a-1", "shop/b", 3002) == ("127.0.0.1", 20_001)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Error: listen EADDRINUSE: address already in use 0.0.0.0:3001", "listen on the port in the variable PORT"),
        ("OSError: [Errno 98] error while attempting to bind: address already in use", "the variable PORT"),
        ("Error: getaddrinfo ENOTFOUND orders", "NAME_SERVICE_HOST"),
        ("Error: Cannot find module '@nestjs/core'", "run npm ci (and npm run build) in /app"),
        ("ModuleNotFoundError: No module named 'x'", "activate its environment"),
        ("python3: can't open file 'main.py': [Errno 2] No such file or directory", "it runs in /app"),
    ],
)
def test_what_to_do_is_read_from_the_last_lines(line: str, words: str) -> None:
    assert words in (hint(["first", line, "last"], Path("/app")) or "")


def test_without_a_known_line_nothing_is_advised() -> None:
    assert hint(["it just ended"], Path("/app")) is None


def test_packages_are_installed_where_the_nearest_package_json_is() -> None:
    line = "Error: Cannot find module '/app/k8s/dist/main.js'"
    words = hint([line], Path("/app/k8s"), lambda path: path == Path("/app/package.json"))
    assert words is not None
    assert words.endswith("run npm ci (and npm run build) in /app")


def test_slices_are_what_sidecars_read() -> None:
    services = [
        ServicePlan(key=f"shop/{name}", namespace="shop", name=name, port=1, local_port=1, host=name, document={})
        for name in "ab"
    ]
    endpoints = [
        Endpoint(service="shop/a", pod="a-1", port=20_000, ready=True, leaving=False),
        Endpoint(service="shop/a", pod="a-2", port=20_001, ready=False, leaving=False),
        Endpoint(service="shop/a", pod="a-3", port=20_002, ready=True, leaving=True),
        Endpoint(service="shop/gone", pod="x-1", port=20_003, ready=True, leaving=False),
    ]
    documents = [tcp_service("a", 1), *slices_of(services, endpoints)]
    reading = read([("all.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))])
    assert reading.problems == ()
    assert reading.snapshot is not None
    seen = [(each.name, each.mesh, each.ready, each.terminating) for each in reading.snapshot.services[0].endpoints]
    assert seen == [("a-1", True, True, False), ("a-2", True, False, False), ("a-3", True, False, True)]


@pytest.mark.parametrize(
    ("line", "news"),
    [
        ("listening shop/a=127.0.0.1:1", False),
        ("11:25:07 info snapshot_taken: 5 services", False),
        ("11:25:07 warning endpoint_ejected: closed", True),
        ("Traceback (most recent call last):", True),
    ],
)
def test_what_sidecars_say_is_shown_where_it_is_news(line: str, news: bool) -> None:
    assert is_news(line) is news


METRICS = """\
# TYPE rpc_client_call_duration_seconds histogram
rpc_client_call_duration_seconds_bucket{{service="shop/a",route="r",kind="request",code="ok",le="0.1"}} {fast}
rpc_client_call_duration_seconds_bucket{{service="shop/a",route="r",kind="request",code="ok",le="+Inf"}} {ok}
rpc_client_call_duration_seconds_bucket{{service="shop/a",route="r",kind="request",code="timeout",le="+Inf"}} {late}
# TYPE rpc_server_call_duration_seconds histogram
rpc_server_call_duration_seconds_bucket{{service="shop/a",route="",kind="request",code="ok",le="+Inf"}} 7
# TYPE tcpservice_app_in_flight gauge
tcpservice_app_in_flight{{service="shop/a"}} 2
tcpservice_app_in_flight{{service="shop/b"}} 3
"""


def sample(at: float, fast: int, ok: int, late: int) -> Sample:
    return read_sample(METRICS.format(fast=fast, ok=ok, late=late), at)


def test_figures_are_the_difference_of_samples() -> None:
    history = History()
    history.take("a-1", sample(10.0, 10, 20, 1))
    assert history.lately("a-1", server=False).messages == 0
    history.take("a-1", sample(12.0, 30, 40, 3))
    lately, ever = history.lately("a-1", server=False), history.ever("a-1", server=False)
    assert (lately.messages, lately.failed, lately.rate) == (22, 2, 11.0)
    assert (ever.messages, ever.failed) == (43, 3)
    assert history.ever("a-1", server=True).messages == 7
    newest = history.latest("a-1")
    assert newest is not None
    assert newest.at_app == 5


def test_percentiles_of_samples_know_the_empty_buckets_below() -> None:
    text = """\
# TYPE rpc_client_call_duration_seconds histogram
rpc_client_call_duration_seconds_bucket{{service="shop/a",route="r",kind="request",code="ok",le="0.1"}} 0
rpc_client_call_duration_seconds_bucket{{service="shop/a",route="r",kind="request",code="ok",le="0.25"}} {count}
rpc_client_call_duration_seconds_bucket{{service="shop/a",route="r",kind="request",code="ok",le="+Inf"}} {count}
rpc_client_call_duration_seconds_sum{{service="shop/a",route="r",kind="request",code="ok"}} {spent}
"""
    history = History()
    history.take("a-1", read_sample(text.format(count=0, spent=0), 1.0))
    history.take("a-1", read_sample(text.format(count=2, spent=0.22), 2.0))
    history.take("b-1", read_sample(text.format(count=1, spent=0.2), 2.0))
    for found in (history.lately("a-1", server=False), history.ever("a-1", server=False)):
        assert found.p50 == pytest.approx(0.11)
        assert found.p99 == pytest.approx(0.12)
    history.forget([])
    assert history.ever("a-1", server=False).p99 == pytest.approx(0.12)


def test_a_sidecar_that_was_started_again_loses_nothing_of_the_sum() -> None:
    history = History()
    history.take("a-1", sample(1.0, 0, 20, 0))
    history.take("a-1", sample(2.0, 0, 5, 0))
    history.take("b-1", sample(2.0, 0, 1, 0))
    history.forget(["a-1"])
    history.forget([])
    ((service, route, lately, ever),) = history.routes()
    assert (service, route, lately.messages, ever.messages) == ("shop/a", "r", 0, 26)
    assert history.names() == ["a-1", "b-1"]
    assert history.lately("a-1", server=False).messages == 0


@pytest.mark.parametrize(
    ("buckets", "share", "spent", "expected"),
    [
        ({}, 0.5, 0.0, None),
        ({0.1: 10, INF: 10}, 0.5, 10.0, 0.05),
        ({0.1: 5, 0.2: 10, INF: 10}, 0.75, 10.0, 0.16),
        ({0.1: 10, 0.2: 10, INF: 10}, 1.0, 10.0, 0.1),
        ({0.0025: 0, 0.005: 1, INF: 1}, 0.99, 0.0026, 0.0026),  # one message: all that was spent
        ({0.1: 0, 0.25: 2, INF: 2}, 1.0, 0.220, 0.120),  # two messages in one bucket
        ({0.1: 0, INF: 10}, 1.0, 1.3, 0.4),  # the last bucket has no bound of its own
        ({0.1: 0, INF: 10}, 0.5, 0.5, 0.1),  # the sum is that of a sample taken a little earlier
        ({0.1: 9, 1.0: 9, 10.0: 10, INF: 10}, 1.0, 2.1, 2.1),
    ],
)
def test_quantiles_are_drawn_evenly_through_a_bucket_up_to_the_slowest_message(
    buckets: dict[float, int], share: float, spent: float, expected: object
) -> None:
    found = quantile(Counter(buckets), share, spent)
    assert found == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0.0001, 30.0), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_a_quantile_is_never_above_what_the_slowest_message_can_have_taken(times: list[float], share: float) -> None:
    bounds = (0.001, 0.01, 0.1, 1.0, 10.0, INF)
    buckets = Counter({bound: sum(time <= bound for time in times) for bound in bounds})
    found = quantile(buckets, share, sum(times))
    assert found is not None
    assert found <= sum(times) + 1e-9
    if len(times) == 1:
        assert found == pytest.approx(times[0])


def test_a_task_that_fails_is_told_at_once() -> None:
    async def fail() -> None:
        raise RuntimeError("inside")

    async def scene() -> list[object]:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        tasks = [begin(fail()), begin(asyncio.sleep(0)), begin(asyncio.sleep(60))]
        tasks[2].cancel()
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
        return told

    (error,) = asyncio.run(scene())
    assert str(error) == "inside"


@pytest.mark.parametrize(
    ("command", "inspected"),
    [
        ("node dist/main.js a", "node --inspect=127.0.0.1:20013 dist/main.js a"),
        ("/usr/bin/node --watch dist/main", "/usr/bin/node --inspect=127.0.0.1:20013 --watch dist/main"),
        ("nest start --watch", "nest start --watch --debug 127.0.0.1:20013"),
        ("npx nest start", "npx nest start --debug 127.0.0.1:20013"),
        ("npm run start:debug", "npm run start:debug"),
        ("npx", "npx"),
    ],
)
def test_each_replica_has_a_debugger_of_its_own(command: str, inspected: str) -> None:
    assert " ".join(with_debugger(command.split(), 20013)) == inspected

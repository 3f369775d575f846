"""`tcpservice up` as its users run it: real processes, real messages, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from local.manifests import APP, HYBRID, deployment, env, port, service, tcp_service, write
from local.running import COMMAND, MARK, SECONDS, Up, left_behind, processes, repeat, runs, send, wait_until


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    assert left_behind() == []
    yield
    wait_until(lambda: not left_behind(), f"processes are left: {left_behind()}")


def orders(path: Path, replicas: int = 2, port: int = 4601, **container: Any) -> Path:
    return write(path, tcp_service("orders", port), deployment("orders", replicas=replicas, container=container))


def test_replicas_share_the_messages_and_all_ends_with_ctrl_c(tmp_path: Path) -> None:
    with Up("-f", str(orders(tmp_path / "orders.yaml", 3))) as up:
        up.await_text(r"^orders is at 127\.0\.0\.1:4601$")
        up.await_ready("orders-1", "orders-2", "orders-3")
        answers = Counter[str]()
        while len(answers) < 3:  # drawn at random, as no message is in flight
            answers[str(send("orders", "whoami")[1])] += 1
            assert answers.total() < 60
        assert send("shop/orders", "count", "3") == (0, [0, 1, 2])
        assert send("127.0.0.1:4601", "fail") == (1, [{"status": "error", "message": "as asked"}])
        up.child.signal(signal.SIGINT)
        assert up.child.wait(SECONDS) == 0
        assert "by replica:" in up.text
        assert (
            sum(int(line.split()[-1]) for line in up.text.partition("by replica:\n")[2].splitlines())
            == 2 + answers.total()
        )
        assert up.child.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_nothing_is_left(tmp_path: Path, number: int) -> None:
    with Up("-f", str(orders(tmp_path / "orders.yaml"))) as up:
        up.await_ready("orders-1", "orders-2")
        assert len(left_behind()) == 7
        up.child.signal(number)
        up.child.wait(SECONDS)
        wait_until(lambda: not left_behind(), "all processes are gone")
        code, (error,) = send("orders", "whoami")
        assert code == 1
        assert error["message"].startswith('no service "orders" in a running `tcpservice up` (none is running, ')


def test_a_time_may_bound_it_and_what_the_app_started_ends_too(tmp_path: Path) -> None:
    shell = {"command": ["sh", "-c", "sleep 1000 & exec sleep 1000"]}
    path = write(tmp_path / "a.yaml", tcp_service("a", 4601), deployment("a", container=shell))
    with Up("-f", str(path), "--for", "2s") as up:
        assert up.child.wait(SECONDS) == 0
        assert "ending ..." in up.text
        assert up.text.endswith("no messages were sent")


def test_a_script_that_is_built_later_is_found(tmp_path: Path) -> None:
    (tmp_path / "k8s").mkdir()
    container = {"command": ["python3", "dist/main.py"]}
    write(tmp_path / "k8s" / "a.yaml", tcp_service("a", 4601), deployment("a", container=container))
    with Up("-f", str(tmp_path / "k8s")) as up:
        up.await_text(r"^a-1 ended with exit status 2")
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist" / "main.py").write_text(APP.read_text())
        up.await_text(rf"^a runs in {tmp_path} now, because its script is there$")
        up.await_ready("a-1")


def test_a_deployment_that_is_added_restarts_no_other(tmp_path: Path) -> None:
    orders(tmp_path / "orders.yaml")
    with Up("-f", str(tmp_path)) as up:
        up.await_ready("orders-1", "orders-2")
        write(tmp_path / "stock.yaml", tcp_service("stock", 4602), deployment("stock"))
        up.await_ready("stock-1")
        assert send("stock", "whoami") == (0, ["stock-1"])
        assert " is leaving" not in up.text
        write(
            tmp_path / "orders.yaml",
            tcp_service("orders", 4601),
            deployment("orders", replicas=2, container={"env": env(A="1")}),
        )
        up.await_text(r"^orders-1 is leaving")
        wait_until(lambda: send("orders", "variables", '["A", "STOCK_SERVICE_PORT"]')[1][0][0] == "1", "it has them")


def test_a_replica_that_is_killed_is_started_again_and_nothing_hangs(tmp_path: Path) -> None:
    routes = [{"name": "who", "match": {"type": "Exact", "pattern": "whoami"}, "idempotent": True}]
    path = write(tmp_path / "a.yaml", tcp_service("a", 4601, routes=routes), deployment("a", replicas=3))
    with Up("-f", str(path)) as up:
        pids = up.await_ready("a-1", "a-2", "a-3")
        outcome: list[tuple[int, str]] = []
        load = threading.Thread(
            target=lambda: outcome.append(repeat("a", "whoami", "--repeat", "4000", "--concurrency", "8"))
        )
        load.start()
        os.kill(pids["a-2"], signal.SIGKILL)
        load.join(2 * SECONDS)
        assert not load.is_alive()
        assert outcome[0][0] == 0, outcome
        up.await_text(r"^a-2 was ended by SIGKILL; it is started again at once$")
        again = up.await_text(r"^a-2 is ready \(pid (\d+)\)", after=up.text.index("SIGKILL"))
        assert int(again[1]) != pids["a-2"]


@pytest.mark.parametrize("leaves", ["", "setsid "])
def test_an_app_whose_child_outlives_it_with_its_output_is_started_again(tmp_path: Path, leaves: str) -> None:
    shell = {"command": ["sh", "-c", f"{leaves}sleep 1000 & exec python3 {APP}"]}
    path = write(tmp_path / "a.yaml", tcp_service("a", 4601), deployment("a", container=shell))
    with Up("-f", str(path)) as up:
        pids = up.await_ready("a-1")
        os.kill(pids["a-1"], signal.SIGKILL)
        up.await_text(r"^a-1 was ended by SIGKILL; it is started again at once$")
        up.await_text(r"^a-1 is ready \(pid (\d+)\)", after=up.text.index("SIGKILL"))
        up.child.signal(signal.SIGINT)
        assert up.child.wait(SECONDS) == 0


def test_services_that_call_each_other_in_chains_and_cycles(tmp_path: Path) -> None:
    def named(name: str, port: int, following: str, next_port: int) -> list[dict[str, Any]]:
        variables = env(NEXT_HOST=following, NEXT_PORT=str(next_port)) if following else []
        return [tcp_service(name, port), deployment(name, container={"env": variables})]

    cycle = [*named("a", 4601, "b", 4602), *named("b", 4602, "c.shop.svc", 4601), *named("c", 4601, "", 0)]
    with Up("-f", str(write(tmp_path / "all.yaml", *cycle))) as up:
        up.await_text(r"^c is at 127\.0\.0\.1:2\d{4}; port 4601 is taken$")
        up.await_ready("a-1", "b-1", "c-1")
        assert send("a", "chain") == (0, [["a-1", "b-1", "c-1"]])
        assert send("b", "chain") == (0, [["b-1", "c-1"]])


def page(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as answer:
        return str(answer.read().decode())


def test_http_ports_of_hybrid_apps_and_of_gateways_have_one_address_each(tmp_path: Path) -> None:
    http, nestjs = {"name": "http", "containerPort": 3000}, {"name": "nestjs", "containerPort": 4801}
    probe = {"httpGet": {"port": "http", "path": "/"}}
    command = {"command": ["python3", str(HYBRID)]}
    path = write(
        tmp_path / "all.yaml",
        tcp_service("orders", 4601),
        deployment("orders", replicas=2, container={**command, "ports": [http, nestjs], "readinessProbe": probe}),
        service("orders", port(4680, "http", "http"), port(4601, "nestjs", "nestjs")),
        deployment(
            "web",
            container={**command, "ports": [http], "env": env(BACKEND_URL="http://orders.shop:4680/")},
        ),
        service("web", port(4681, "http", "http")),
    )
    with Up("-f", str(path)) as up:
        up.await_text(r"^orders is at 127\.0\.0\.1:4601$")
        up.await_text(r"^orders-http is at 127\.0\.0\.1:4680$")
        up.await_text(r"^web is at 127\.0\.0\.1:4681$")
        up.await_ready("orders-1", "orders-2", "web-1")
        assert {page(4680) for _ in range(60)} == {"orders-1", "orders-2"}
        assert {page(4681) for _ in range(60)} == {"web-1 orders-1", "web-1 orders-2"}
        assert send("orders", "whoami")[1][0] in ("orders-1", "orders-2")
        code, (error,) = send("web", "whoami")
        assert (code, error["message"].partition(" in a running")[0]) == (1, 'no service "web"')


def test_changes_of_the_files_are_taken_in_and_wrong_ones_are_told(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.yaml", 1)
    with Up("-f", str(path)) as up:
        (pid,) = up.await_ready("orders-1").values()
        path.write_text(path.read_text().replace('"replicas": 1', '"replicas": -1'))
        up.await_text(r"orders\.yaml:\d+: Deployment shop/orders: spec\.replicas: expected an integer from 0 to 1000")
        up.await_text("^the last good state goes on$")
        orders(path, 2)
        up.await_ready("orders-2")
        before = len(up.text)
        orders(path, 2, env=env(COLOUR="blue"))
        mark = up.await_text("^the changed manifests are in effect$", after=before).end()
        again = up.await_text(r"^orders-1 is ready \(pid (\d+)\)", after=mark)
        up.await_text(r"^orders-2 is ready", after=mark)
        assert int(again[1]) != pid
        assert send("orders", "variables", '["COLOUR", "HOSTNAME"]')[1][0][0] == "blue"
        path.unlink()
        up.await_text("No such file or directory.*; the last good state goes on")
        assert send("orders", "whoami")[0] == 0


def test_a_rolling_change_loses_nothing(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.yaml", 2)
    with Up("-f", str(path)) as up:
        up.await_ready("orders-1", "orders-2")
        outcome: list[tuple[int, str]] = []
        load = threading.Thread(
            target=lambda: outcome.append(repeat("orders", "wait", "0.01", "--repeat", "1500", "--concurrency", "5"))
        )
        load.start()
        orders(path, 2, env=env(COLOUR="blue"))
        mark = up.await_text("^the changed manifests are in effect$").end()
        up.await_text("^orders-1 is ready", after=mark)
        up.await_text("^orders-2 is ready", after=mark)
        load.join(2 * SECONDS)
        assert outcome[0][0] == 0, outcome


def test_a_replica_that_cannot_start_shows_its_last_lines_and_what_to_do(tmp_path: Path) -> None:
    crash = "import sys; print('first words'); sys.exit('OSError: address already in use')"
    documents = [tcp_service("a", 4601), deployment("a", container={"command": ["python3", "-c", crash]})]
    with Up("-f", str(write(tmp_path / "a.yaml", *documents))) as up:
        up.await_text(r"^a-1 ended with exit status 1; it is started again at once$")
        up.await_text(r"^    first words$")
        up.await_text(r"^    what to do: its port is taken: .* the variable PORT$")
        up.await_text(r"^a-1 ended with exit status 1; it is started again in 10 s$")
        up.await_text(r"^a-1 is crashed$")


def test_a_command_that_does_not_exist_is_said(tmp_path: Path) -> None:
    documents = [tcp_service("a", 4601), deployment("a", container={"command": ["no-such-command"]})]
    with Up("-f", str(write(tmp_path / "a.yaml", *documents))) as up:
        up.await_text(rf"^a-1 cannot be started in {tmp_path}: no-such-command: No such file or directory; it is")


def test_what_the_command_line_says_wins(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.yaml", 5)
    with Up("-f", str(path), "--replicas", "orders=1", "--port", "orders=4611") as up:
        up.await_ready("orders-1")
        # A replica is ready a moment before callers' sidecar is told of it.
        wait_until(lambda: send("127.0.0.1:4611", "whoami") == (0, ["orders-1"]), "it is told of")
        assert "orders-2" not in up.text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["-f", "no.yaml"], 'there is no file or folder "no.yaml"'),
        (["-f", "empty"], "no .yaml, .yml or .json file is in the folder"),
        (
            ["-f", "orders.yaml", "--port", "orders=x"],
            '--port: expected NAME=PORT such as orders=3001, with a port from 1 to 65535, got "orders=x"',
        ),
        (
            ["-f", "orders.yaml", "--replicas", "order=3"],
            '--replicas: the manifests have no Deployment "order"; they have orders',
        ),
        (
            ["-f", "orders.yaml", "--port", "order=3"],
            '--port: the manifests have no TcpService or Service "order"; they have orders',
        ),
        (["-f", "orders.yaml", "--for", "soon"], '--for: expected a duration such as 30s or 5m, got "soon"'),
        ([], "give manifests: -f PATH, or -k FOLDER"),
        (["-k", "empty"], "no kustomization.yaml is in the folder"),
        (["-k", "no"], 'there is no folder "no"'),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, words: list[str], error: str) -> None:
    (tmp_path / "empty").mkdir()
    orders(tmp_path / "orders.yaml")
    words = [str(tmp_path / word) if (tmp_path / word).exists() else word for word in words]
    with Up(*words) as up:
        assert up.child.wait(SECONDS) == 2
        assert error in up.child.stderr
        assert up.child.stderr.count("\n") == 1


def test_the_port_that_was_asked_for_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Up("-f", str(orders(tmp_path / "a.yaml")), "--port", f"orders={port}") as up:
            assert up.child.wait(SECONDS) == 2
            assert up.child.stderr == f"the port {port}, asked for shop/orders, is taken on this machine\n"


def test_the_shells_own_collector_gets_the_traces(tmp_path: Path) -> None:
    with Up("-f", str(orders(tmp_path / "a.yaml")), env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as up:
        up.await_ready("orders-1")
        variables = send("orders", "variables", '["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"]')[1][0]
        assert variables == ["http://127.0.0.1:9", "orders"]


def test_a_replica_that_listens_elsewhere_is_told(tmp_path: Path) -> None:
    with Up("-f", str(write(tmp_path / "a.yaml", tcp_service("a", 4601), deployment("a", container=SLEEPING)))) as up:
        up.await_text(
            r"^a-1 runs, but is not ready after 10 s: it does not listen on 127\.0\.0\.1:\d+, .* variable \w*PORT$"
        )


SLEEPING = {"command": ["sleep", "1000"]}


def test_callers_do_not_wait_for_ever(tmp_path: Path) -> None:
    caller = deployment("web", container={"command": ["sleep", "1000"], "ports": []})
    documents = [tcp_service("a", 4601), deployment("a", container={"command": ["sleep", "1000"]}), caller]
    with Up("-f", str(write(tmp_path / "a.yaml", *documents))) as up:
        up.await_ready("web-1")
        assert "a-1 is ready" not in up.text


def test_when_nobody_reads_its_lines_it_ends(tmp_path: Path) -> None:
    command = f"{COMMAND} up -f {orders(tmp_path / 'orders.yaml')} | head -n 1"
    variables = {**os.environ, MARK: str(os.getpid()), "TMPDIR": runs()}
    done = subprocess.run(
        ["sh", "-c", command], env=variables, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout == "orders is at 127.0.0.1:4601\n"
    assert done.stderr == ""


def test_a_guard_that_dies_is_replaced_and_ends_all_the_same(tmp_path: Path) -> None:
    with Up("-f", str(orders(tmp_path / "orders.yaml"))) as up:
        up.await_ready("orders-1", "orders-2")
        (guard,) = [pid for pid, command in processes() if "guard.py" in command]
        os.kill(guard, signal.SIGKILL)
        wait_until(lambda: [pid for pid, line in processes() if "guard.py" in line and pid != guard], "a new guard")
        up.child.signal(signal.SIGKILL)
        up.child.wait(SECONDS)


def test_a_change_that_does_not_come_up_takes_one_replica(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.yaml", 3)
    with Up("-f", str(path)) as up:
        up.await_ready("orders-1", "orders-2", "orders-3")
        orders(path, 3, command=["python3", "-c", "raise SystemExit('broken')"])
        up.await_text("^    broken$")
        up.await_text("^orders-. is crashed$")
        assert up.text.count(" is leaving") == 1
        assert send("orders", "whoami")[0] == 0
        before = len(up.text)
        orders(path, 3, env=env(COLOUR="blue"))
        mark = up.await_text("^the changed manifests are in effect$", after=before).end()
        for name in ("orders-1", "orders-2", "orders-3"):
            up.await_text(rf"^{name} is ready", after=mark)

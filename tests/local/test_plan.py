"""From manifests to what runs: tables of documents and plans, and every mistake with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.manifests import deployment, env, port, service, tcp_service
from tcpservice.spec import read
from tcpservice_local.fleet_plan import Plan, make_plan
from tcpservice_local.manifests import Refused, read_manifests
from tcpservice_local.variables import Variable, expand

HERE = Path("/app/k8s")


def plan(*documents: dict[str, Any], there: tuple[str, ...] = ()) -> Plan:
    text = "\n---\n".join(json.dumps(document) for document in documents)
    return make_plan(read_manifests([(str(HERE / "all.yaml"), text)]), lambda path: str(path) in there)


def refused(*documents: dict[str, Any]) -> list[str]:
    with pytest.raises(Refused) as raised:
        plan(*documents)
    return [str(problem) for problem in raised.value.problems]


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data}


def variables(*entries: dict[str, Any], more: tuple[dict[str, Any], ...] = (), **container: object) -> Any:
    made = plan(tcp_service("orders", 3001), deployment("orders", container={"env": list(entries), **container}), *more)
    return made.workloads[0].variables


def test_a_service_and_the_deployment_that_it_selects() -> None:
    made = plan(tcp_service("orders", 3001), deployment("orders", replicas=3))
    (workload,) = made.workloads
    assert (workload.key, workload.replicas, workload.serves) == ("shop/orders", 3, {"shop/orders": 3001})
    assert workload.words[0] == "python3"
    assert made.services[0].port == 3001
    assert made.notes == ()


def test_a_selector_may_be_left_to_the_service_of_the_same_name() -> None:
    without = tcp_service("orders", 3001)
    del without["spec"]["selector"]
    assert plan(without, deployment("orders"), service("orders", app="orders")).workloads[0].serves
    (problem,) = refused(without, deployment("orders"))
    assert problem.endswith(
        "spec.selector: missing, and no Service shop/orders with a selector is in the files; "
        "add the labels of the pods, such as {app: orders}"
    )


def test_a_port_by_number_by_name_and_by_default() -> None:
    by_number = tcp_service("orders", 80, targetPort=9000)
    assert plan(by_number, deployment("orders")).workloads[0].serves == {"shop/orders": 9000}
    by_default = tcp_service("orders", 80)
    del by_default["spec"]["targetPort"]
    assert plan(by_default, deployment("orders")).workloads[0].serves == {"shop/orders": 80}
    of_the_service = service("orders", port(81, 8081), port(80, "nestjs"))
    assert plan(by_default, of_the_service, deployment("orders")).workloads[0].serves["shop/orders"] == 3001
    of_another_port = service("orders", port(81, 8081))
    assert plan(by_default, of_another_port, deployment("orders")).workloads[0].serves["shop/orders"] == 80
    (problem,) = refused(tcp_service("orders", 80, targetPort="tcp"), deployment("orders"))
    expected = 'containers[0].ports: expected a port named "tcp", the targetPort of TcpService shop/orders'
    assert problem.endswith(f"{expected}; it has nestjs (3001)")


def test_of_several_containers_the_one_with_the_port_runs() -> None:
    two = deployment("orders")
    containers = two["spec"]["template"]["spec"]["containers"]
    containers.insert(0, {"name": "proxy", "image": "proxy:1"})
    made = plan(tcp_service("orders", 3001), two)
    assert made.workloads[0].words[0] == "python3"
    assert made.notes == ("Deployment shop/orders: the container proxy is not run here",)


def test_other_kinds_and_services_without_replicas_are_named() -> None:
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}}
    notes = plan(tcp_service("orders", 3001), ingress).notes
    assert notes == (
        "/app/k8s/all.yaml: Ingress web is not run here",
        "TcpService shop/orders: no Deployment's pods have the labels {app: orders} (there is none in its namespace)",
    )
    misspelt = {**ingress, "kind": "Deploymnt"}
    assert (
        plan(tcp_service("a", 1), misspelt)
        .notes[0]
        .endswith("Deploymnt web (did you mean Deployment?) is not run here")
    )
    (note,) = plan(tcp_service("orders", 3001), deployment("web"), deployment("cron")).notes
    assert note.endswith(
        "no Deployment's pods have the labels {app: orders} (web has {app: web}; cron has {app: cron})"
    )


def test_a_service_without_a_tcp_service_gets_an_address_and_is_balanced_by_connection() -> None:
    gateway = deployment("gateway", container={"ports": [{"name": "http", "containerPort": 3000}]})
    made = plan(tcp_service("orders", 3001), deployment("orders"), gateway, service("gateway", port(80, "http")))
    (orders, http) = made.services
    assert (orders.by_connection, orders.local_port) == (False, 3001)
    assert (http.key, http.by_connection, http.port, http.local_port) == ("shop/gateway", True, 80, 3000)
    assert http.document["spec"] == {
        "selector": {"app": "gateway"}, "port": 80, "targetPort": "http", "protocol": "Opaque",
    }  # fmt: skip
    assert made.workloads[1].serves == {"shop/gateway": 3000}
    assert made.notes == ()


def test_every_port_of_a_hybrid_app_is_reached() -> None:
    declared = [{"name": "http", "containerPort": 3000}, {"name": "nestjs", "containerPort": 4801}]
    hybrid = service("orders", port(80, 3000, "web"), port(4801, "nestjs", "tcp"), port(9000, 9000))
    made = plan(tcp_service("orders", 4801), deployment("orders", container={"ports": declared}), hybrid)
    assert [(each.name, each.port, each.local_port) for each in made.services] == [
        ("orders", 4801, 4801), ("orders-web", 80, 3000), ("orders-9000", 9000, 9000),
    ]  # fmt: skip
    (workload,) = made.workloads
    assert workload.numbers == [4801, 3000, 9000]


def test_services_that_lead_to_nothing_here_are_left_out() -> None:
    others = [
        service("gone", port(80, 3000)),
        service("unknown", port(80, "nowhere"), app="orders"),
        service("portless", app="orders"),
        {**service("external", port(80, 80)), "spec": {"ports": [port(80, 80)]}},
        service("l" * 54, port(80, 3000), port(81, 3000, "second"), app="orders"),
        service("orders-web", port(80, 3000, "web"), app="orders"),
        service("orders", port(3001, "nestjs"), port(80, 3000, "web")),
    ]
    made = plan(tcp_service("orders", 3001), deployment("orders"), *others)
    assert [each.name for each in made.services] == ["orders", "l" * 54, "orders-web"]
    long, taken = made.notes
    assert long.startswith(f"Service shop/{'l' * 54}: its port 81 has no address here (name: expected")
    assert taken == "Service shop/orders: its port 80 has no address here (orders-web is another Service)"


def test_what_is_made_of_services_is_taken_by_sidecars() -> None:
    pages = service("p" * 54, port(80, "nestjs"), app="orders")
    made = plan(tcp_service("orders", 3001), deployment("orders"), pages)
    assert len(made.services) == 2
    for each in made.services:
        assert read([("a.yaml", json.dumps(each.document))]).problems == ()


def test_services_of_other_containers_change_nothing() -> None:
    exporter = {"name": "exporter", "image": "exporter:1", "ports": [{"name": "metrics", "containerPort": 9100}]}
    app_and_exporter = deployment("orders")
    containers = app_and_exporter["spec"]["template"]["spec"]["containers"]
    for place in (0, 2):
        containers.insert(place, {**exporter, "name": f"exporter-{place}"})
        for target in ("metrics", 9100):
            made = plan(
                tcp_service("orders", 3001),
                service("orders-metrics", port(9100, target), app="orders"),
                app_and_exporter,
            )
            assert made.workloads[0].words[0] == "python3"
            assert made.workloads[0].serves == {"shop/orders": 3001}
            assert [each.name for each in made.services] == ["orders"]


def test_of_containers_with_ports_of_services_the_first_runs() -> None:
    gateway = deployment("web", container={"ports": [{"containerPort": 8080}]})
    containers = gateway["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "exporter", "image": "exporter:1", "ports": [{"containerPort": 9100}]})
    metrics, pages = service("web-metrics", port(9100, 9100), app="web"), service("web", port(80, 8080))
    made = plan(tcp_service("orders", 3001), deployment("orders"), metrics, pages, gateway)
    assert made.workloads[1].numbers == [8080]


def test_messages_are_traced_where_the_manifest_does_not_say() -> None:
    assert plan(tcp_service("orders", 1)).services[0].document["spec"]["tracing"] == {"samplingPercent": "100"}
    given = tcp_service("orders", 1, tracing={"samplingPercent": "5", "slowThreshold": "1s"})
    assert plan(given).services[0].document["spec"]["tracing"] == given["spec"]["tracing"]


def test_where_no_command_is_given_an_annotation_may_give_it() -> None:
    bare = deployment("orders")
    del bare["spec"]["template"]["spec"]["containers"][0]["command"]
    (problem,) = refused(tcp_service("orders", 3001), bare)
    assert "spec.template.spec.containers[0].command: missing, and images do not run here" in problem
    assert problem.startswith("/app/k8s/all.yaml:")
    bare["metadata"]["annotations"] = {"tcpservice.dev/local-command": "node 'my app.js'"}
    assert plan(tcp_service("orders", 3001), bare).workloads[0].words == ("node", "my app.js")
    bare["metadata"]["annotations"] = {"tcpservice.dev/local-command": "node 'my app.js"}
    assert "expected a command" in refused(tcp_service("orders", 3001), bare)[0]


@pytest.mark.parametrize(
    ("there", "folder"),
    [
        ((), "/app/k8s"),
        (("/app/k8s/dist/main.js", "/app/dist/main.js"), "/app/k8s"),
        (("/app/dist/main.js",), "/app"),
        (("/dist/main.js", "/app/.git"), "/app/k8s"),
    ],
)
def test_the_folder_is_where_the_script_is_found(there: tuple[str, ...], folder: str) -> None:
    command = {"command": ["node", "--enable-source-maps", "dist/main.js"]}
    made = plan(tcp_service("orders", 3001), deployment("orders", container=command), there=there)
    assert str(made.workloads[0].folder) == folder


@pytest.mark.parametrize(
    ("command", "there", "folder"),
    [
        (["node", "dist/main"], "/app/dist/main.js", "/app"),
        (["node", "dist"], "/app/dist/index.js", "/app"),
        (["npm", "run", "start:prod"], "/app/package.json", "/app"),
        (["nest", "start", "--watch"], "/app/package.json", "/app"),
        (["/usr/bin/node", "-r", "dotenv/config", "dist/main"], "/app/dist/main.js", "/app"),
        (["python3", "app"], "/app/app.js", "/app/k8s"),
    ],
)
def test_the_folder_is_where_the_program_itself_would_look(command: list[str], there: str, folder: str) -> None:
    made = plan(tcp_service("orders", 3001), deployment("orders", container={"command": command}), there=(there,))
    assert str(made.workloads[0].folder) == folder


def test_an_annotation_may_name_the_folder() -> None:
    placed = deployment("orders")
    placed["metadata"]["annotations"] = {"tcpservice.dev/local-dir": "../apps/orders"}
    documents = (tcp_service("orders", 3001), placed)
    assert str(plan(*documents, there=("/app/apps/orders",)).workloads[0].folder) == "/app/apps/orders"
    assert "there is no folder /app/apps/orders" in refused(*documents)[0]


def test_variables_come_from_values_fields_and_config_maps() -> None:
    found = variables(
        {"name": "A", "value": "1"},
        {"name": "EMPTY"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "RATE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "rate"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "other", "key": "rate", "optional": True}}},
        envFrom=[{"prefix": "S_", "configMapRef": {"name": "settings"}}],
        more=(config_map(rate="5"),),
    )
    assert found == (
        Variable("S_rate", "5"),
        Variable("A", "1"),
        Variable("EMPTY", ""),
        Variable("POD", field="metadata.name"),
        Variable("APP", field="metadata.labels['app']"),
        Variable("RATE", "5"),
    )


def test_what_is_in_a_secret_is_left_to_the_shell() -> None:
    secret = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    whole = {"secretRef": {"name": "all"}}
    made = plan(
        tcp_service("orders", 1), deployment("orders", container={"env": [secret], "envFrom": [whole]}, ports=[])
    )
    assert made.workloads[0].variables == ()
    assert [note.partition(": ")[2] for note in made.notes] == [
        "the variables of the Secret all are left to your shell",
        "PASSWORD is in a Secret; here your shell's $PASSWORD counts",
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "A", "value": 3001}, 'env[0].value: expected text such as "3001", got 3001; put it in quotes'),
        ({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no"}}}, 'has no key "no"'),
        ({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "a"}}}, "no ConfigMap shop/no is in the"),
        (
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.host"}}},
            'there is no field "spec.host"; expected metadata.name, metadata.namespace',
        ),
    ],
)
def test_what_is_wrong_with_variables(entry: dict[str, Any], words: str) -> None:
    container = {"env": [entry]}
    (problem,) = refused(tcp_service("orders", 3001), deployment("orders", container=container), config_map())
    assert words in problem
    assert "Deployment shop/orders: spec.template.spec.containers[0].env[0]" in problem


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    problems = refused(
        tcp_service("orders", 99999),
        deployment("orders", container={"command": "node main.js"}),
        {**deployment("web"), "spec": {"replicas": -1}},
    )
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert lines == sorted(lines)
    assert any("spec.port: expected a port from 1 to 65535" in problem for problem in problems)
    assert any('expected a list of texts such as ["node", "main.js"], got "node main.js"' in each for each in problems)
    assert any("spec.replicas: expected an integer from 0 to 1000, got -1" in problem for problem in problems)
    assert any("spec.template: missing" in problem for problem in problems)


def test_a_name_is_given_once() -> None:
    (problem,) = refused(tcp_service("a", 1), deployment("a"), deployment("a"))
    assert problem.endswith("Deployment shop/a is already at /app/k8s/all.yaml:3; rename or remove one of them")


def test_a_deployment_of_another_namespace_is_not_selected() -> None:
    elsewhere = deployment("orders")
    elsewhere["metadata"]["namespace"] = "other"
    assert plan(tcp_service("orders", 3001), elsewhere).workloads[0].serves == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A $( A)", "$A $( A)"), ("$$$(A)", "$1"), ("", "")],
)
def test_references_are_replaced_as_the_kubelet_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_env_of_the_tests_manifests() -> None:
    assert variables(*env(NEXT_HOST="b")) == (Variable("NEXT_HOST", "b"),)

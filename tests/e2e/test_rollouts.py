"""Rolling updates under load: what NestJS would lose when it ends, and is not lost."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

from e2e.cluster import HOME, MAJORS, Cluster, wait_for
from e2e.load import MIX, Load, Pods, Report, lines_of
from e2e.manifests import caller, replicas, service, tcp_service

ROLLOUTS = 3 if os.environ.get("E2E_ALL") else 1
"""Of each version of NestJS, one after another."""

PLAIN_LOSES = 0.02
"""Of what a caller without a sidecar sends while a rollout replaces the pod that its one connection leads to."""


def assert_nothing_is_lost(report: Report, pods: Pods) -> None:
    """All requests ended well, and each pod that ended did so after it had answered what it had."""
    assert not report.failed, report
    assert not report.hung, report
    for name, told in pods.told.items():
        last = report.replicas[name]["last"] / 1000
        print(f"{name}: SIGTERM {pods.sigterm[name] - told:.2f} s after it was told, last reply {last - told:.2f} s")
        assert told < last <= pods.sigterm[name] + 0.1, "a reply was completed while the app's SIGTERM was held"


def test_rollouts_lose_nothing(cluster: Cluster) -> None:
    """Each version of NestJS in a namespace of its own, beside each other."""
    with ThreadPoolExecutor(len(MAJORS)) as pool:
        for rollouts in [pool.submit(lose_nothing_in_rollouts, cluster, major) for major in MAJORS]:
            rollouts.result()


def lose_nothing_in_rollouts(cluster: Cluster, major: int) -> None:
    with cluster.namespace(f"e2e-rollout-{major}") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there, major=major), caller(there, major=major))
        cluster.rolled_out(there, "orders", "web")
        for _ in range(ROLLOUTS):
            wait_for("pods of the rollout before are gone", lambda: len(cluster.pods(there, "app=orders")) == 3)
            with Pods.watched(there) as pods, Load(there, seconds=60, rate=150, mix=MIX) as load:
                cluster.restart(there, "orders")
                wait_for("the old ones have ended", lambda: len(pods.sigterm) == 3)
                report = load.report()
            print(f"NestJS {major}: {report}")
            assert len(pods.told) == 3
            assert_nothing_is_lost(report, pods)


def test_rollouts_lose_no_event(cluster: Cluster) -> None:
    """Nobody acknowledges events: they are counted where they come to."""
    with cluster.namespace("e2e-rollout-events") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there))
        cluster.rolled_out(there, "orders", "web")
        with Pods.watched(there) as pods, Load(there, seconds=40, rate=300, mix={"event": 0.9, "quick": 0.1}) as load:
            cluster.restart(there, "orders")
            wait_for("the old ones have ended", lambda: len(pods.sigterm) == 3)
            report = load.report()
        counted = dict(pods.events)

        def all_counted() -> bool:
            with Load(there, once="count") as asking:
                name, events = asking.answer()["answer"]
            counted[name] = events
            return len(counted) == 6

        wait_for("all have been asked", all_counted)
        print(f"of {report.events} events there came {sum(counted.values())}: {counted}")
        assert not report.failed, report
        assert sum(counted.values()) == report.events


def test_a_pod_that_has_little_time_to_end_loses_nothing_either(cluster: Cluster) -> None:
    """The gate stays within the grace period, of which the app keeps a part."""
    with cluster.namespace("e2e-rollout-short") as there:
        serving = replicas(there)
        serving["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 6
        cluster.apply(service(there), tcp_service(there), serving, caller(there))
        cluster.rolled_out(there, "orders", "web")
        with Pods.watched(there) as pods, Load(there, seconds=40, rate=300, mix=MIX) as load:
            cluster.restart(there, "orders")
            wait_for("the old ones have ended", lambda: len(pods.sigterm) == 3)
            report = load.report()
        print(report)
        assert_nothing_is_lost(report, pods)
        assert all(pods.sigterm[name] - told < 5.5 for name, told in pods.told.items())


def test_what_a_rollout_costs_a_caller_without_a_sidecar(cluster: Cluster) -> None:
    with cluster.namespace("e2e-rollout-plain") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there, "plain", sidecar=False))
        cluster.rolled_out(there, "orders", "plain")
        with Load(there, "plain", seconds=45, rate=300, mix=MIX) as load:
            cluster.restart(there, "orders")
            report = load.report()
        print(f"without a sidecar: {report}")
        assert not report.hung
        assert report.lost <= PLAIN_LOSES * report.sent


def test_a_caller_that_ends_finishes_its_last_calls(cluster: Cluster) -> None:
    with cluster.namespace("e2e-last") as there:
        ending = caller(there)
        (container,) = ending["spec"]["template"]["spec"]["containers"]
        container["command"] = ["node", "caller.mjs", json.dumps({"seconds": 60, "rate": 100, "mix": MIX, "last": 100})]
        cluster.apply(service(there), tcp_service(there), replicas(there))
        cluster.rolled_out(there, "orders")
        cluster.apply(ending)
        cluster.rolled_out(there, "web")
        with lines_of(["kubectl", "logs", "-n", there, "deployment/web", "-c", "app", "-f"]) as lines:
            wait_for("it calls", lambda: "ready\n" in lines)
            time.sleep(5)
            cluster.kubectl("delete", "deployment", "-n", there, "web", "--wait=false")
            report = Report(wait_for("it has ended", lambda: next((each for each in lines if each[0] == "{"), "")))
        print(report)
        assert report.sent > 300, report
        assert not report.failed, report
        assert not report.hung, report


def test_the_operator_is_gone_during_a_whole_rollout(cluster: Cluster) -> None:
    with cluster.namespace("e2e-alone") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there), caller(there))
        cluster.rolled_out(there, "orders", "web")
        try:
            with Load(there, seconds=75, rate=300, mix=MIX) as load:
                cluster.operators(0)
                cluster.restart(there, "orders")
                report = load.report()
        finally:
            cluster.operators(2)
        assert not report.failed, report
        assert not report.hung, report
        wait_for("the condition", lambda: cluster.condition(there, "orders", "Injected").get("status") == "False")
        cluster.restart(there, "orders")
        wait_for("all are right", lambda: cluster.condition(there, "orders", "Injected").get("status") == "True")
        with Load(there, total=3000, window=30) as load:
            report = load.report()
        assert not report.failed, report
        assert all(count > 600 for count in report.answers.values()), report
        assert len(report.answers) == 3, report
        cluster.rolled_out(HOME, "tcpservice-operator")

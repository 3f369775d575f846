"""What is to be done for one TcpService, from the whole state: Services to apply, and the status to show.

Used by the operator's loop and tested as tables. Nothing here knows what happened before: the same state gives the same
plan, and a plan that is in force already needs no write.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tcpservice.spec.schema import LONGEST_MESSAGE
from tcpservice_operator.capture import conflicts
from tcpservice_operator.conditions import Verdict, is_accepted, verdicts
from tcpservice_operator.endpoints import REPLICAS_SUFFIX
from tcpservice_operator.events import Happened, changes, refusals
from tcpservice_operator.evicting import Eviction, next_eviction
from tcpservice_operator.evidence import View
from tcpservice_operator.objects import Key, Wanted
from tcpservice_operator.services import Document, services_for
from tcpservice_operator.state import State


class Plan(Struct, frozen=True, kw_only=True):
    """Services to apply and the status, both whole, and what people should hear of, once the status is written.

    `refused` is what should be heard once, by owner and reason. `eviction` is the next one; `pods` are the uids of all
    that serve.
    """

    services: tuple[Document, ...]
    status: dict[str, Any]
    happened: tuple[Happened, ...]
    refused: dict[tuple[str, str], Happened]
    eviction: Eviction | None
    pods: frozenset[str]


def make_plan(state: State, key: Key, now: str, stopped: str = "") -> Plan | None:
    """Plan for a TcpService; None where it is not there. `now` is the time (RFC 3339) for what changes.

    `stopped` is why evictions do not go on, for the status.
    """
    wanted = state.wanted.get(key)
    if wanted is None:
        return None
    view = view_of(state, wanted, stopped)
    services = services_for(wanted, view.selector, view.service, view.pods) if is_accepted(view) else []
    if view.replicas is not None and not view.replicas.ours:
        services = [document for document in services if document["metadata"]["name"] != view.replicas.key[1]]
    status = _status(view, now)
    happened = changes(wanted.status.get("conditions") or [], status["conditions"])
    return Plan(
        services=tuple(services),
        status=status,
        happened=tuple(happened),
        refused=refusals([*view.pods, *view.callers]),
        eviction=next_eviction(view, state),
        pods=frozenset(pod.uid for pod in view.pods),
    )


def view_of(state: State, wanted: Wanted, stopped: str = "") -> View:
    """Gather what the conditions of a TcpService are drawn from."""
    namespace, name = wanted.key
    return View(
        wanted=wanted,
        selector=state.selector_of(wanted),
        service=state.services.get(wanted.key),
        replicas=state.services.get((namespace, name + REPLICAS_SUFFIX)),
        pods=state.pods_of(wanted),
        callers=state.callers_of(wanted),
        rivals=conflicts(state, wanted),
        policies=state.policies_in(namespace),
        stopped=stopped,
    )


def _status(view: View, now: str) -> dict[str, Any]:
    before = {one["type"]: one for one in view.wanted.status.get("conditions") or []}
    pods = view.pods
    return {
        "observedGeneration": view.wanted.generation,
        "replicas": {
            "total": len(pods),
            "ready": sum(pod.ready and not pod.leaving for pod in pods),
            "injected": sum(pod.has_front(view.wanted.key) for pod in pods),
        },
        "conditions": [_condition(one, before.get(one.type), view.wanted.generation, now) for one in verdicts(view)],
    }


def _condition(verdict: Verdict, before: dict[str, Any] | None, generation: int, now: str) -> dict[str, Any]:
    """Write a condition; its time is that of its last change of status."""
    since = before["lastTransitionTime"] if before and before["status"] == verdict.status else now
    return {
        "type": verdict.type,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message[:LONGEST_MESSAGE],
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }

"""Kubernetes Events of a TcpService, which `kubectl describe` and `kubectl events` show.

Used by `plan`, which decides, and `reconciler`, which writes them after the status. There are Events for changed
conditions and for pods that get no sidecar.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.api.names import FIELD_MANAGER
from tcpservice_operator.cache.objects import Pod, TcpService

LONGEST_NOTE: Final = 1024
_DERIVED: Final = {"NotAccepted", "Pending", "NoPods"}
_EXPECTED_AT_FIRST: Final = {"NoReplicas", "NoSidecar"}

Condition = Mapping[str, Any]


class Event(Struct, frozen=True):
    """A Kubernetes Event; `kind` is Normal or Warning."""

    kind: str
    reason: str
    message: str


def condition_events(before: Iterable[Condition], after: Iterable[Condition]) -> Iterator[Event]:
    """Yield an Event for each changed condition.

    There is no Event for a reason that another condition has too, or for the reasons that every new TcpService has.
    """
    known, reported = {one["type"]: one for one in before}, set[str]()
    for condition in after:
        old, reason = known.get(condition["type"]), condition["reason"]
        same = old is not None and (old["status"], old["reason"]) == (condition["status"], reason)
        usual = reason in _EXPECTED_AT_FIRST and (old is None or old["status"] != "True")
        if same or usual or reason in reported or reason in _DERIVED or (old is None and condition["status"] == "True"):
            continue
        reported.add(reason)
        yield Event("Normal" if condition["status"] == "True" else "Warning", reason, condition["message"])


def refusal_events(pods: Iterable[Pod]) -> dict[tuple[str, str], Event]:
    """Return one Event for each owner and reason of pods that get no sidecar."""
    found: dict[tuple[str, str], Event] = {}
    for pod in pods:
        if pod.refused and not pod.leaving:
            text = f"{pod.key[1]} gets no sidecar, because {pod.refused}."
            found.setdefault((pod.workload or pod.key[1], pod.refused), Event("Warning", "NotInjected", text))
    return found


def event_document(tcp_service: TcpService, event: Event, now: str) -> dict[str, Any]:
    """Return the document of an Event of a TcpService; `now` is RFC 3339."""
    namespace, name = tcp_service.key
    about = {"apiVersion": tcp_service.document["apiVersion"], "kind": tcp_service.document["kind"]}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": {**about, "namespace": namespace, "name": name, "uid": tcp_service.uid},
        "type": event.kind,
        "reason": event.reason,
        "message": event.message[:LONGEST_NOTE],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": FIELD_MANAGER,
    }

"""What people should hear of, as Events, which `kubectl describe` and `kubectl events` show.

Conditions that changed, and pods that are refused a sidecar.

Used by `planning` (which) and `reconciling` (written once the status is).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.objects import OWNER, Pod, Wanted

LONGEST_NOTE: Final = 1024
_DERIVED: Final = {"NotAccepted", "Pending", "NoPods"}
_EXPECTED_AT_FIRST: Final = {"NoReplicas", "NoSidecar"}

Condition = Mapping[str, Any]


class Happened(Struct, frozen=True):
    """One thing to tell: `kind` is Normal or Warning."""

    kind: str
    reason: str
    message: str


def changes(before: Iterable[Condition], after: Iterable[Condition]) -> Iterator[Happened]:
    """Give what is worth telling of conditions that changed.

    Nothing that another condition says already, and not what every new TcpService goes through.
    """
    known, told = {one["type"]: one for one in before}, set[str]()
    for condition in after:
        old, reason = known.get(condition["type"]), condition["reason"]
        same = old is not None and (old["status"], old["reason"]) == (condition["status"], reason)
        usual = reason in _EXPECTED_AT_FIRST and (old is None or old["status"] != "True")
        if same or usual or reason in told or reason in _DERIVED or (old is None and condition["status"] == "True"):
            continue
        told.add(reason)
        yield Happened("Normal" if condition["status"] == "True" else "Warning", reason, condition["message"])


def refusals(pods: Iterable[Pod]) -> dict[tuple[str, str], Happened]:
    """Return what is worth telling of pods that get no sidecar, once for each owner and reason."""
    found: dict[tuple[str, str], Happened] = {}
    for pod in pods:
        if pod.refused and not pod.leaving:
            text = f"{pod.key[1]} gets no sidecar, as {pod.refused}"
            found.setdefault((pod.workload or pod.key[1], pod.refused), Happened("Warning", "NotInjected", text))
    return found


def write_event(wanted: Wanted, happened: Happened, now: str) -> dict[str, Any]:
    """Write the Event of a TcpService; `now` is RFC 3339."""
    namespace, name = wanted.key
    about = {"apiVersion": wanted.document["apiVersion"], "kind": wanted.document["kind"]}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": {**about, "namespace": namespace, "name": name, "uid": wanted.uid},
        "type": happened.kind,
        "reason": happened.reason,
        "message": happened.message[:LONGEST_NOTE],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": OWNER},
        "reportingComponent": OWNER,
        "reportingInstance": OWNER,
    }

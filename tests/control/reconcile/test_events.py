"""What people hear of: conditions that changed, and no noise."""

from __future__ import annotations

from typing import Any

import pytest

from control.objects import tcp_service
from tcpservice_operator.cache.objects import read_tcp_service
from tcpservice_operator.reconcile.events import LONGEST_NOTE, Event, condition_events, event_document

SERVING = ("Ready", "True", "Serving")
EMPTY = ("Ready", "False", "NoReplicas")


def conditions(*states: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": f"why {reason}"}
        for kind, status, reason in states
    ]


@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [
        ([], [SERVING], []),
        ([], [EMPTY], []),
        ([], [("Accepted", "False", "Invalid")], [("Warning", "Invalid")]),
        ([], [("Programmed", "False", "NotAccepted")], []),
        ([], [("Programmed", "Unknown", "Pending")], []),
        ([SERVING], [SERVING], []),
        ([SERVING], [EMPTY], [("Warning", "NoReplicas")]),
        ([EMPTY], [SERVING], [("Normal", "Serving")]),
        ([EMPTY], [("Ready", "False", "MeshPortClosed")], [("Warning", "MeshPortClosed")]),
        (
            [],
            [("Accepted", "False", "NoSelector"), ("Ready", "False", "NoSelector")],
            [("Warning", "NoSelector")],
        ),
        ([("Injected", "True", "AllInjected")], [("Injected", "Unknown", "NoPods")], []),
        ([("Programmed", "Unknown", "Pending")], [("Programmed", "True", "Programmed")], [("Normal", "Programmed")]),
    ],
)
def test_what_is_worth_telling(
    before: list[tuple[str, str, str]], after: list[tuple[str, str, str]], reported: list[tuple[str, str]]
) -> None:
    events = list(condition_events(conditions(*before), conditions(*after)))
    assert [(each.kind, each.reason) for each in events] == reported
    assert all(each.message == f"why {each.reason}" for each in events)


def test_an_event_is_about_its_tcp_service() -> None:
    record = read_tcp_service(tcp_service())
    event = event_document(record, Event("Warning", "Invalid", "x" * 5000), "2026-01-01T00:00:00Z")
    assert event["involvedObject"] == {
        "apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService", "namespace": "shop", "name": "orders",
        "uid": "uid-orders",
    }  # fmt: skip
    assert event["metadata"]["name"].startswith("orders.")
    assert len(event["message"]) == LONGEST_NOTE

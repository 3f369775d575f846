"""What people hear of: conditions that changed, and no noise."""

from __future__ import annotations

from typing import Any

import pytest

from control.objects import tcp_service
from tcpservice_operator.events import LONGEST_NOTE, Happened, changes, write_event
from tcpservice_operator.objects import read_wanted

SERVING = ("Ready", "True", "Serving")
EMPTY = ("Ready", "False", "NoReplicas")


def conditions(*states: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": f"why {reason}"}
        for kind, status, reason in states
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
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
            [("Accepted", "False", "PortTaken"), ("Ready", "False", "PortTaken")],
            [("Warning", "PortTaken")],
        ),
        ([("Injected", "True", "AllInjected")], [("Injected", "Unknown", "NoPods")], []),
        ([("Programmed", "Unknown", "Pending")], [("Programmed", "True", "Programmed")], [("Normal", "Programmed")]),
    ],
)
def test_what_is_worth_telling(
    before: list[tuple[str, str, str]], after: list[tuple[str, str, str]], told: list[tuple[str, str]]
) -> None:
    happened = list(changes(conditions(*before), conditions(*after)))
    assert [(each.kind, each.reason) for each in happened] == told
    assert all(each.message == f"why {each.reason}" for each in happened)


def test_an_event_is_about_its_tcp_service() -> None:
    wanted = read_wanted(tcp_service())
    event = write_event(wanted, Happened("Warning", "Invalid", "x" * 5000), "2026-01-01T00:00:00Z")
    assert event["involvedObject"] == {
        "apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService", "namespace": "shop", "name": "orders",
        "uid": "uid-orders",
    }  # fmt: skip
    assert event["metadata"]["name"].startswith("orders.")
    assert len(event["message"]) == LONGEST_NOTE

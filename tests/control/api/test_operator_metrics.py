"""The metric that counts TcpServices by condition: a bounded number of series, computed when it is asked for."""

from __future__ import annotations

from tcpservice_operator.api.operator_metrics import OperatorMetrics


def test_conditions_are_counted_by_type_and_status() -> None:
    metrics = OperatorMetrics()
    assert b"tcpservice_operator_conditions{" not in metrics.exposition()
    metrics.conditions = lambda: [("Ready", "True"), ("Ready", "False"), ("Ready", "True"), ("Accepted", "True")]
    lines = [line for line in metrics.exposition().decode().splitlines() if "conditions{" in line]
    assert lines == [
        'tcpservice_operator_conditions{status="True",type="Accepted"} 1.0',
        'tcpservice_operator_conditions{status="False",type="Ready"} 1.0',
        'tcpservice_operator_conditions{status="True",type="Ready"} 2.0',
    ]

"""What a sidecar says, and what the operator tells, takes effect whatever state its endpoint is in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.exchange.stage import Stage, endpoints, service
from tcpservice.exchange.transitions import EndpointState
from tcpservice.snapshot import SECOND, Timeouts


def healthy(_: Stage) -> None:
    """Leave it as it is."""


def leaving(stage: Stage) -> None:
    stage.upstream().say(b"goaway")


def absent(stage: Stage) -> None:
    stage.upstream().say(b"goaway", b"app")


def ejected(stage: Stage) -> None:
    """Its sidecar could not reach the app; the connection stands."""
    stage.upstream().say(b"refused", b'"1"')


def probing(stage: Stage) -> None:
    """A request timed out, and a ping has not been answered yet."""
    stage.pass_time(3 * SECOND)


def probation(stage: Stage) -> None:
    """The backoff after a refusal is over."""
    ejected(stage)
    stage.pass_time(SECOND)


def back(stage: Stage) -> None:
    stage.upstream().say(b"back")


def removed(stage: Stage) -> None:
    stage.swap(service(0, endpoints=endpoints(2, mesh=True)[1:]))


STATES: dict[EndpointState, Callable[[Stage], None]] = {
    EndpointState.HEALTHY: healthy,
    EndpointState.LEAVING: leaving,
    EndpointState.ABSENT: absent,
    EndpointState.EJECTED: ejected,
    EndpointState.PROBING: probing,
    EndpointState.PROBATION: probation,
}
GOALS: dict[EndpointState, Callable[[Stage], None]] = {
    EndpointState.LEAVING: leaving,
    EndpointState.ABSENT: absent,
    EndpointState.HEALTHY: back,
    EndpointState.REMOVED: removed,
}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"to {goal.name}")
@pytest.mark.parametrize("state", STATES, ids=lambda state: f"from {state.name}")
def test_what_is_said_of_an_endpoint_takes_effect_in_every_state(state: EndpointState, goal: EndpointState) -> None:
    stage = Stage(service(1, mesh=True, timeouts=Timeouts(request=60 * SECOND, backend_request=2 * SECOND)))
    stage.client().ask("1")
    endpoint = next(iter(stage.exchange._state.upstreams["shop/orders"].endpoints.values()))
    STATES[state](stage)
    assert endpoint.state is state
    GOALS[goal](stage)
    assert endpoint.state is goal

"""Who leads: never two at once, whatever stops, hangs, or jumps. Time is passed in."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.kube.kube_client import ApiError
from tcpservice_operator.kube.lease import LEAD_S, LEASE_S, RENEW_S, Leadership

KEY = ("system", "tcpservice-operator")


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """One Lease, kept as an API server keeps it; `gone` for those that are cut off."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.gone = False
        self.version = 0

    async def read_lease(self, key: Key) -> Body | None:
        assert key == KEY
        if self.gone:
            raise ApiError(0, "the API server cannot be reached")
        return self.lease

    async def write_lease(self, document: Body) -> None:
        if self.gone:
            raise ApiError(0, "the API server cannot be reached")
        there = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if document["metadata"].get("resourceVersion") != there:
            raise ApiError(409, "somebody was quicker")
        self.version += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**document, "metadata": metadata}


class View:
    """What one copy sees of the Leases."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.cut_off = False

    async def read_lease(self, key: Key) -> Body | None:
        if self.cut_off:
            raise ApiError(0, "cut off")
        return await self._leases.read_lease(key)

    async def write_lease(self, document: Body) -> None:
        if self.cut_off:
            raise ApiError(0, "cut off")
        await self._leases.write_lease(document)


class Copies:
    """Some copies of the operator, each with a clock of its own."""

    def __init__(self, count: int) -> None:
        self.leases = Leases()
        self.views = [View(self.leases) for _ in range(count)]
        self.clocks = [Clock() for _ in range(count)]
        self.all = [
            Leadership(view, KEY, f"copy-{number}", clock)
            for number, (view, clock) in enumerate(zip(self.views, self.clocks, strict=True))
        ]

    def attempt(self, *numbers: int) -> None:
        for number in numbers:
            asyncio.run(self.all[number].attempt())

    def wait(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.now += seconds

    @property
    def leading(self) -> list[int]:
        return [number for number, copy in enumerate(self.all) if copy.leading]


def test_the_first_leads_and_the_others_wait() -> None:
    copies = Copies(2)
    for _ in range(20):
        copies.attempt(0, 1)
        assert copies.leading == [0]
        copies.wait(RENEW_S)
    lease = copies.leases.lease
    assert lease is not None
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("copy-0", 1)
    assert copies.all[0].began.is_set()


def test_a_leader_that_is_cut_off_stops_before_its_successor_starts() -> None:
    copies = Copies(2)
    copies.attempt(0, 1)
    copies.views[0].cut_off = True
    times: dict[int, float] = {}
    for _ in range(100):
        copies.wait(0.5)
        copies.attempt(0, 1)
        assert len(copies.leading) <= 1
        if not copies.leading:
            times.setdefault(0, copies.clocks[0].now)
        if copies.leading == [1]:
            times.setdefault(1, copies.clocks[0].now)
    assert times[0] - 1000 <= LEAD_S + 0.5
    assert LEASE_S <= times[1] - 1000 <= LEASE_S + 1


def test_a_copy_that_was_paused_leads_no_more_when_it_wakes() -> None:
    copies = Copies(2)
    copies.attempt(0, 1)
    for _ in range(40):
        copies.wait(0.5)
        copies.attempt(1)
    assert copies.leading == [1]
    copies.attempt(0)
    assert copies.leading == [1]


def test_what_is_given_back_is_taken_at_once() -> None:
    copies = Copies(2)
    copies.attempt(0, 1)
    asyncio.run(copies.all[0].release())
    assert copies.leading == []
    copies.attempt(1)
    assert copies.leading == [1]
    asyncio.run(copies.all[0].release())
    copies.attempt(0)
    assert copies.leading == [1], "who does not lead gives nothing back"


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_release_that_fails_is_no_error(cut_off: bool) -> None:
    copies = Copies(1)
    copies.attempt(0)
    copies.views[0].cut_off = cut_off
    asyncio.run(copies.all[0].release())
    assert copies.leading == []


def test_a_store_that_is_gone_for_long_gives_the_lease_to_whoever_is_first() -> None:
    copies = Copies(2)
    copies.attempt(0, 1)
    copies.leases.gone = True
    for _ in range(60):
        copies.wait(RENEW_S)
        copies.attempt(0, 1)
    assert copies.leading == []
    copies.leases.gone = False
    copies.attempt(1, 0)
    assert copies.leading == [1]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_at_most_one_leads(seed: int) -> None:
    """Clocks run at different speeds by a tenth, copies pause, are cut off, and come back."""
    chance = random.Random(seed)
    copies = Copies(3)
    speeds = [chance.uniform(0.9, 1.0) for _ in range(3)]
    led = set[int]()
    for _ in range(600):
        for clock, speed in zip(copies.clocks, speeds, strict=True):
            clock.now += 0.5 * speed
        for number in range(3):
            if chance.random() < 0.03:
                copies.views[number].cut_off = not copies.views[number].cut_off
            if chance.random() < 0.5:
                copies.attempt(number)
        assert len(copies.leading) <= 1
        led.update(copies.leading)
    assert led

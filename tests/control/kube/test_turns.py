"""Turns at the API server go round by client, and none is lost when who waits for it goes away."""

from __future__ import annotations

import asyncio

import pytest

from tcpservice_operator.kube.turns import TooManyWaiting, Turns

SECONDS = 30.0


def test_turns_go_round_by_client() -> None:
    async def scene() -> list[str]:
        turns, had, go = Turns(at_once=1), list[str](), asyncio.Event()

        async def work(client: str, name: str) -> None:
            async with turns.turn(client):
                await go.wait()
                had.append(name)

        names = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("a", "a4"), ("b", "b1"), ("c", "c1"), ("b", "b2")]
        tasks = []
        for client, name in names:
            tasks.append(asyncio.create_task(work(client, name)))
            await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turns.turn("a"):
            had.append("free again")
        return had

    assert asyncio.run(scene()) == ["a1", "a2", "b1", "c1", "a4", "b2", "free again"]


def test_a_turn_that_is_cancelled_when_it_is_given_goes_to_the_next() -> None:
    async def scene() -> None:
        turns = Turns(at_once=1)
        waiting = []

        async def work() -> None:
            async with turns.turn("a"):
                return

        async with turns.turn("a"):
            waiting = [asyncio.create_task(work()) for _ in range(2)]
            await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting)
        assert not waiting[1].cancelled()

    asyncio.run(scene())


def test_waiters_that_are_cancelled_just_before_a_turn_is_free_are_passed_over() -> None:
    async def scene() -> list[str]:
        turns, had = Turns(at_once=1), list[str]()

        async def work(client: str, name: str) -> None:
            async with turns.turn(client):
                had.append(name)

        async with turns.turn("a"):
            names = [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1"), ("a", "a3")]
            tasks = [asyncio.create_task(work(*each)) for each in names]
            await asyncio.sleep(0)
            for at in (0, 1, 2):
                tasks[at].cancel()  # none of them runs before the turn is free
        await asyncio.wait(tasks, timeout=SECONDS)
        assert [task.cancelled() for task in tasks] == [True, True, True, False, False]
        async with turns.turn("b"):
            had.append("free again")
        return had

    assert asyncio.run(scene()) == ["c1", "a3", "free again"]


def test_a_client_has_so_many_waiters_and_others_have_their_own() -> None:
    async def scene() -> None:
        turns = Turns(at_once=1, most_waiting=2)

        async def wait(client: str) -> None:
            async with turns.turn(client):
                pass

        async with turns.turn("a"):
            waiting = [asyncio.create_task(wait(client)) for client in ("a", "a", "b")]
            await asyncio.sleep(0)
            with pytest.raises(TooManyWaiting):
                await wait("a")
        await asyncio.gather(*waiting)

    asyncio.run(scene())

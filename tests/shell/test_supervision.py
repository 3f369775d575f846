"""Work that must not end: after a failure it begins again, and the log says why."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.supervision import keep_running


async def plainly() -> None:
    raise ValueError("a bug")


async def returning() -> None:
    return


async def in_a_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(plainly())
        tasks.create_task(asyncio.sleep(60))


@pytest.mark.parametrize(
    ("work", "reason"), [(plainly, "ValueError: a bug"), (returning, "it returned"), (in_a_group, "ValueError: a bug")]
)
def test_work_that_ends_begins_again_later_and_later(
    work: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(work)
    stream, pauses, sleep = io.StringIO(), list[float](), asyncio.sleep

    async def pause(seconds: float) -> None:
        if seconds == 60:
            await sleep(seconds)
        pauses.append(seconds)
        if len(pauses) == 7:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_running(work, "following", Log(stream, "json")))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    line = json.loads(stream.getvalue().splitlines()[0])
    assert line["message"] == f"following ended ({reason}); it begins again in 1 s"
    assert ("test_supervision.py" in line.get("traceback", "")) is (work is not returning)

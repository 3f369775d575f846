"""How `send` finds the services of a running `up`: files that are there, stale, foreign or broken."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from local.running import send
from tcpservice_local import registry
from tcpservice_local.registry import Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = tmp_path / f"{registry.PREFIX}one"
    made.mkdir()
    return made


def test_a_run_is_found_as_long_as_its_process_lives(folder: Path) -> None:
    registry.announce(folder, {"shop/orders": 3001})
    assert registry.runs() == [Run(pid=os.getpid(), ports={"shop/orders": 3001})]
    (folder / "run.json").write_text(json.dumps({"pid": 2**22 + 1, "ports": {}}))
    assert registry.runs() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "1"}', '{"pid": 1}'])
def test_a_broken_file_is_none(folder: Path, text: str) -> None:
    (folder / "run.json").write_text(text)
    assert registry.runs() == []


def test_a_name_may_say_its_namespace() -> None:
    runs = [Run(pid=1, ports={"shop/orders": 1, "else/orders": 2}), Run(pid=2, ports={"shop/web": 3})]
    assert [key for _, key in registry.find("orders", runs)] == ["shop/orders", "else/orders"]
    assert [key for _, key in registry.find("shop/orders", runs)] == ["shop/orders"]
    assert registry.find("none", runs) == []


def test_several_services_of_a_name_are_told_apart(folder: Path) -> None:
    registry.announce(folder, {"shop/orders": 1, "else/orders": 2})
    code, (error,) = send("orders", "a", folder=folder.parent)
    assert code == 1
    mine = f"(process {os.getpid()})"
    places = f"shop/orders at 127.0.0.1:1 {mine}, else/orders at 127.0.0.1:2 {mine}"
    assert error["message"].endswith(f'services "orders", so give one of these addresses: {places}')

"""What the flags of all commands have in common: errors of one line, values from the environment, addresses.

Used by the settings of the sidecar and of the operator, and by the command for people. Each flag can be given as a
variable, `TCPSERVICE_` and its name.
"""

from __future__ import annotations

import argparse
import errno
import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeVar

from tcpservice.addresses import Address

__all__ = [
    "MAX_PORT",
    "USAGE_ERROR",
    "Address",
    "Parser",
    "SettingsError",
    "argument",
    "bind_error",
    "from_environment",
    "parse_address",
    "parse_count",
    "parse_port",
    "usage_line",
]

T = TypeVar("T")

MAX_PORT: Final = 65535
_LONGEST_LABEL: Final = 63
USAGE_ERROR: Final = 2
"""The exit status of a wrong call."""

_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\],=]+)):(?P<port>[0-9]+)")


class SettingsError(Exception):
    """The flags do not make sense, alone or together; the text names the flag."""


class Parser(argparse.ArgumentParser):
    """Reports an error as a SettingsError."""

    def error(self, message: str) -> NoReturn:
        """Raise SettingsError."""
        raise SettingsError(message.removeprefix("argument "))


def parse_address(text: str, *, lowest: int = 1) -> Address:
    """Read HOST:PORT; `lowest` 0 lets the system choose the port. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f'expected HOST:PORT such as 127.0.0.1:3001, got "{text}"')
    host = match["six"] or match["host"]
    if match["host"] and not all(0 < len(label) <= _LONGEST_LABEL for label in host.removesuffix(".").split(".")):
        raise ValueError(f'"{host}" is not a host name: between dots, 1 to {_LONGEST_LABEL} characters are needed')
    return Address(host, parse_port(match["port"], lowest=lowest))


_DIGITS: Final = re.compile("[0-9]{1,20}")
_MOST: Final = 1_000_000_000


def parse_port(text: str, *, lowest: int = 1) -> int:
    """Read the number of a port. Raises ValueError."""
    if not _DIGITS.fullmatch(text) or not lowest <= int(text) <= MAX_PORT:
        raise ValueError(f"expected a port from {lowest} to {MAX_PORT}, got {text}")
    return int(text)


def parse_count(text: str) -> int:
    """Read a whole number above 0. Raises ValueError."""
    if not _DIGITS.fullmatch(text) or int(text) < 1:
        raise ValueError(f'expected a whole number above 0, got "{text}"')
    if int(text) > _MOST:
        raise ValueError(f"expected at most {_MOST}, got {text}")
    return int(text)


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show the own words of a ValueError or OSError."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except (ValueError, OSError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def from_environment(parser: argparse.ArgumentParser, variables: Mapping[str, str]) -> list[str]:
    """Write the variables as flags; the command line follows them and so wins, or adds where a flag may be repeated."""
    arguments: list[str] = []
    for action in parser._actions:
        flag = action.option_strings[-1] if action.option_strings else ""
        value = variables.get("TCPSERVICE_" + flag.removeprefix("--").replace("-", "_").upper(), "")
        if not value or flag in ("--help", "--version"):
            continue
        for one in value.split() if isinstance(action.default, list) else [value]:
            arguments += [flag, one]
    return arguments


def usage_line(program: str, error: Exception) -> str:
    """Say what is wrong with a call."""
    return f"{program}: {error} (see {program} --help)\n"


def bind_error(error: OSError) -> str:
    """Say what keeps a port from being had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; choose another port, or 0 for any"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission; ports below 1024 need a privilege, choose a higher one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    if error.errno is not None and error.errno < 0:
        return "the host name does not resolve"
    return error.strerror or str(error)

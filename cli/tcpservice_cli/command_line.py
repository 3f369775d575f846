"""The `tcpservice` command: its subcommands, and what they have in common.

Exit status: 0 on success, 1 when what was asked for failed, 2 on a wrong call. A flag with a value can be given as an
environment variable, too (`TCPSERVICE_TIMEOUT=5s`); the command line wins.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import tcpservice
from tcpservice_cli import check, explain, inject, logs, ps, restart, send, traces, up, validate
from tcpservice_cli.command_parser import CommandParser, FromVariable, UsageError
from tcpservice_flags import USAGE_ERROR, SettingsError, usage_line
from tcpservice_local.registry import NotThereError

FAILED: Final = 1
INTERRUPTED: Final = 130
_COMMANDS: Final = (up, send, ps, logs, traces, restart, validate, explain, inject, check)
"""In the order of `--help`: the laptop first, then manifests, then a cluster."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; return the exit status."""
    program = "tcpservice"
    try:
        given = parser(os.environ).parse_args(arguments)
        program = f"tcpservice {given.command}"
        status: int = asyncio.run(given.run(given))
    except SettingsError as error:
        sys.stderr.write(usage_line(error.program if isinstance(error, UsageError) else program, error))
        return USAGE_ERROR
    except NotThereError as error:
        sys.stderr.write(f"tcpservice: {error}\n")
        return FAILED
    except ModuleNotFoundError as error:
        install = "in a clone of the project: pip install '.[local,sidecar,operator]'"
        sys.stderr.write(f"tcpservice: this needs {error.name}; {install}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as with `tcpservice logs -f | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    else:
        return status


def parser(variables: Mapping[str, str]) -> argparse.ArgumentParser:
    """Make the parser of the whole command line; `variables` give flags their values where the line does not."""
    whole = CommandParser(prog="tcpservice", description="Message-level load balancing for NestJS's TCP transport.")
    whole.add_argument("--version", action="version", version=f"tcpservice {tcpservice.__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for command in _COMMANDS:
        _take_defaults(command.add_to(commands), variables)
    return whole


def _take_defaults(command: argparse.ArgumentParser, variables: Mapping[str, str]) -> None:
    """Let the variables say what a flag is when it is not given; argparse checks them as it checks the flag."""
    for action in command._actions:
        name = action.option_strings[-1].removeprefix("--") if action.option_strings else ""
        variable = "TCPSERVICE_" + name.replace("-", "_").upper()
        value = variables.get(variable, "") if name else ""
        if value and action.type is not None and not isinstance(action.default, list):
            action.default = FromVariable.of(variable, value)

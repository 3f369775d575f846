"""The parser of the `tcpservice` command line: each mistake is one line that says what to give instead.

Used by `command_line`. It replaces argparse's words, which list what is allowed and do not look for the nearest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from tcpservice_flags import SettingsError

_NO_VALUE: Final = ": expected one argument"
_MISSING: Final = "the following arguments are required: "


class UsageError(SettingsError):
    """A wrong call of a command; `program` is the command with its subcommand."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program


class FromVariable(str):
    """A value from an environment variable, which a message names instead of the flag."""

    variable: str

    @classmethod
    def of(cls, variable: str, value: str) -> FromVariable:
        """Return a value with the name of its variable."""
        made = cls(value)
        made.variable = variable
        return made


class CommandParser(argparse.ArgumentParser):
    """Reports an error as a UsageError."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse a command line. Raises UsageError."""
        given, left = self.parse_known_args(args, namespace)
        if left:
            command = self._commands()[given.command] if "command" in given else self
            command.error(_unknown(command, left[0]))
        return given

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        text = message.removeprefix("argument ")
        if text.startswith(_MISSING):
            names = text.removeprefix(_MISSING)
            commands = self._commands()
            text = f"give a command: {', '.join(commands)}" if commands else f"give {' and '.join(names.split(', '))}"
        elif text.endswith(_NO_VALUE):
            flags = text.removesuffix(_NO_VALUE)
            action = self._option_string_actions[flags.split("/")[0]]
            text = f"{flags}: expected {action.metavar or ' or '.join(map(str, action.choices or ()))} after it"
        raise UsageError(self.prog, text)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            hint = _near(str(value), names) or f"; give one of these: {', '.join(names)}"
            self.error(f'there is no command "{value}"{hint}')
        raise argparse.ArgumentError(action, f'expected {" or ".join(names)}, got "{value}"')

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            if isinstance(arg_string, FromVariable):
                self.error(f"the variable {arg_string.variable}: {error.message}")
            raise

    def _commands(self) -> dict[str, argparse.ArgumentParser]:
        found = (action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        return next(({**action.choices} for action in found), {})


def _unknown(command: argparse.ArgumentParser, word: str) -> str:
    """Say what is wrong with a word that no flag and no argument of a command takes."""
    flags = command._option_string_actions
    if word.startswith("-"):
        return f"there is no option {word.partition('=')[0]}{_near(word.partition('=')[0], flags)}"
    hint = f"; give manifests with -f: {command.prog} -f {word}" if "--file" in flags else ""
    return f'unexpected argument "{word}"{hint}'


def _near(word: str, names: Iterable[str]) -> str:
    near = get_close_matches(word, names, n=1)
    return f", did you mean {near[0]}?" if near else ""

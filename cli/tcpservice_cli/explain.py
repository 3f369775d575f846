"""`tcpservice explain`: what a field of a TcpService means, without a cluster, as `kubectl explain` does with one.

The fields come from the CustomResourceDefinition. `fields.md` of the documentation is generated from the same.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from tcpservice_flags import SettingsError

if TYPE_CHECKING:
    from tcpservice_operator.api.fields import Field

_WIDTH: Final = 100
_ALIKE: Final = 0.8
_ROOT: Final = "tcpservice"
_EXAMPLES: Final = """\
examples:
  tcpservice explain                    the fields of a TcpService
  tcpservice explain spec.timeouts      one field, and those below it
  tcpservice explain slowThreshold      a field whose name is unique needs no path
  tcpservice explain --recursive        all fields
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="explain a field of a TcpService",
        description="Explain a field of a TcpService: its type, what it means, its default, and the fields below it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("field", metavar="FIELD", nargs="?", default="spec", help="such as spec.timeouts.request")
    add("--recursive", action="store_true", help="list the fields of all levels")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Explain; return the exit status. Raises SettingsError where there is no such field."""
    from tcpservice_operator.api.fields import fields  # it imports much

    every = fields()
    chosen = find(every, given.field)
    sys.stdout.write(explain(every, chosen, recursive=given.recursive))
    return 0


def find(every: list[Field], name: str) -> Field:
    """Return the field of a path, or of a path's end. Raises SettingsError if there is none, or more than one."""
    wanted = name.removeprefix(_ROOT).strip(".").replace("[]", "")
    paths = {field.path.replace("[]", ""): field for field in every}
    if wanted in paths:
        return paths[wanted]
    ends = [path for path in paths if path.endswith(f".{wanted}")]
    if len(ends) == 1:
        return paths[ends[0]]
    if ends:
        raise SettingsError(f'there are several fields "{name}"; give one of these: {", ".join(ends)}')
    raise SettingsError(f'a TcpService has no field "{name}"{_hint(wanted, [*paths])}')


def _hint(wanted: str, paths: list[str]) -> str:
    """Name the field that was most likely meant: one of nearly this path, else one of nearly this name."""
    full = {path.removeprefix("spec."): path for path in sorted(paths, key=len, reverse=True)}
    near = get_close_matches(wanted.removeprefix("spec."), full, n=1, cutoff=_ALIKE)
    if near:
        return f"; did you mean {full[near[0]]}?"
    names = {path.rpartition(".")[2]: path for path in sorted(paths, key=len, reverse=True)}
    near = get_close_matches(wanted.rpartition(".")[2], names, n=1)
    return f"; did you mean {names[near[0]]}?" if near else "; tcpservice explain --recursive lists all"


def explain(every: list[Field], chosen: Field, *, recursive: bool) -> str:
    """Write what a field means, and the fields below it."""
    lines = [f"{chosen.path or 'TcpService'} <{chosen.type}>{' (required)' if chosen.required else ''}"]
    lines += textwrap.wrap(chosen.description, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines += [f"  Allowed: {chosen.allowed}"] if chosen.allowed else []
    below = [field for field in every if field.is_below(chosen) and (recursive or field.depth == chosen.depth + 1)]
    if below:
        lines += ["", "FIELDS"]
    for field in below:
        indent = "  " * (field.depth - chosen.depth)
        lines.append(f"{indent}{field.name} <{field.type}>{' (required)' if field.required else ''}")
        lines += textwrap.wrap(
            field.description, _WIDTH, initial_indent=indent + "    ", subsequent_indent=indent + "    "
        )
    return "".join(f"{line}\n" for line in lines)

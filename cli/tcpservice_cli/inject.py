"""`tcpservice inject`: manifests with the sidecar in them, for those who want to see it, or to have it in their files.

The documents go to stdout, what was done and what was left out to stderr, a line each.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from tcpservice_cli.manifest_flags import add_manifests, files_of
from tcpservice_flags import USAGE_ERROR, SettingsError, argument, parse_address
from tcpservice_operator.inject.sidecar_options import IMAGE, OPERATOR, add_flags, options_of

_QUANTITIES: Final = ("--sidecar-cpu", "--sidecar-cpu-limit", "--sidecar-memory", "--sidecar-memory-limit")
_EXAMPLES: Final = """\
examples:
  tcpservice inject -f orders.yaml | kubectl apply -f -
  tcpservice inject -f examples/orders --image registry.example.com/sidecar:1.2.3 > injected.yaml
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "inject",
        help="print manifests with the sidecar in them",
        description="Print manifests with the sidecar in them, as the webhook of the operator would make them. "
        "The chart's values sidecar.* and otlpEndpoint are the flags --sidecar-*.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_manifests(parser)
    add = parser.add_argument
    add("--image", metavar="IMAGE", type=str, default=IMAGE, help=f"the sidecar's image (default {IMAGE})")
    add("--operator", metavar="HOST:PORT", type=argument(_address), default=OPERATOR,
        help=f"where sidecars find the operator (default {OPERATOR})")  # fmt: skip
    add_flags(parser)
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Inject; return the exit status."""
    # What follows imports much, and `tcpservice send` should start at once.
    from tcpservice.spec import read
    from tcpservice.spec.yaml_writer import write_all
    from tcpservice.spec.yamltext import parse
    from tcpservice_operator.inject.offline import inject_all

    try:
        texts = files_of(given).texts()
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return USAGE_ERROR
    problems = read(texts).problems
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        return USAGE_ERROR
    values = [parsed.tree.value for _, text in texts for parsed in parse(text)]
    _check_quantities(given)
    documents = [value for value in values if isinstance(value, dict)]
    results = list(inject_all(documents, options_of(given, image=given.image, operator=given.operator)))
    sys.stdout.write(write_all(result.document for result in results))
    sys.stderr.write("".join(f"{line}\n" for result in results for line in result.lines))
    return 0


def _address(text: str) -> str:
    parse_address(text)
    return text


def _check_quantities(given: argparse.Namespace) -> None:
    """Refuse wrong amounts of CPU and memory. Raises SettingsError."""
    from tcpservice_operator.api.quantities import parse_quantity

    for flag in _QUANTITIES:
        text = getattr(given, flag.removeprefix("--").replace("-", "_"))
        try:
            parse_quantity(text or "0")
        except ValueError:
            raise SettingsError(f'{flag}: expected a quantity such as 100m or 64Mi, got "{text}"') from None

"""`tcpservice check`: whether all is well with the installation in the cluster, and what mends what is not.

One line for each thing that was looked at. Exit status 1 where something failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tcpservice_flags import SettingsError

if TYPE_CHECKING:
    from tcpservice_operator.check.facts import Finding, Mark

_COLOURS: Final[dict[Mark, str]] = {"passed": "\x1b[32m", "warned": "\x1b[33m", "failed": "\x1b[31m"}
_EXAMPLES: Final = """\
The cluster is that of KUBECONFIG or ~/.kube/config. `check` uses your permissions, and changes nothing.
examples:
  tcpservice check
  tcpservice check -o json | jq '.[] | select(.mark == "failed")'
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check an installation in a cluster, and suggest fixes",
        description="Check an installation in a cluster: CRD, webhook, operator, rights, each TcpService, pods.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="as lines, or as JSON")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Check; return the exit status."""
    import msgspec  # what follows brings much, and `tcpservice send` should start at once

    from tcpservice_operator.check.findings import check
    from tcpservice_operator.check.survey import survey
    from tcpservice_operator.kube.kube_client import ApiError, KubeClient

    _check_kubeconfig(os.environ)
    try:
        cluster = await KubeClient.connect()
        try:
            findings = check(await survey(cluster))
        finally:
            await cluster.close()
    except ApiError as error:
        raise SettingsError(str(error)) from error
    if given.output == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode() + "\n")
    else:
        sys.stdout.write(render(findings, colours=sys.stdout.isatty()))
    return int(any(finding.mark == "failed" for finding in findings))


def _check_kubeconfig(variables: Mapping[str, str]) -> None:
    """Refuse a KUBECONFIG that names no file, as Kubernetes' client reports that in other words."""
    paths = [path for path in variables.get("KUBECONFIG", "").split(os.pathsep) if path]
    if paths and not any(Path(path).expanduser().exists() for path in paths):
        raise SettingsError(f"the variable KUBECONFIG names {' and '.join(paths)}, which does not exist")


def render(findings: Sequence[Finding], *, colours: bool) -> str:
    """Return the lines, and how many there are of each mark."""
    width = max(len(finding.subject) for finding in findings)
    lines = [
        f"{_marked(finding.mark, colours=colours)}  {finding.subject:{width}}  {finding.message}"
        for finding in findings
    ]
    counts = Counter(finding.mark for finding in findings)
    return "\n".join([*lines, ", ".join(f"{counts[mark]} {mark}" for mark in _COLOURS)]) + "\n"


def _marked(mark: Mark, *, colours: bool) -> str:
    return f"{_COLOURS[mark]}{mark}\x1b[0m" if colours else mark

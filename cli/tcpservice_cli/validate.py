"""`tcpservice validate`: checks manifests without a cluster, with the code that sidecars and the webhook use.

Used before `kubectl apply`, and in CI. Problems and warnings go to stderr, a line each with file, line and field;
stdout has the number of valid objects. The exit status is 1 if there is a problem; warnings do not change it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tcpservice_cli.manifest_flags import add_manifests, files_of
from tcpservice_flags import USAGE_ERROR

if TYPE_CHECKING:
    from tcpservice.spec import Problem
    from tcpservice_local.manifests import Manifests

INVALID: Final = 1
_EXAMPLES: Final = """\
examples:
  tcpservice validate -f k8s/
  helm template . | tcpservice validate -f -
  tcpservice validate -k k8s/overlays/dev
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "validate",
        help="check manifests without a cluster",
        description="Check TcpServices, and the Deployments, Services and ConfigMaps beside them, without a cluster. "
        "Each problem is a line with the file, the line and the field. Exit status 1 if there is a problem. Warnings "
        "are about objects that do not fit together; they do not change the exit status.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_manifests(parser)
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Check; return the exit status."""
    from tcpservice_local.cluster_checks import refusals, warnings  # they import much
    from tcpservice_local.manifests import Refused, read_manifests

    files = files_of(given)
    try:
        manifests = read_manifests(files.texts())
    except Refused as refused:
        return _refuse(refused.problems)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return USAGE_ERROR
    if problems := list(refusals(manifests)):
        return _refuse(problems)
    sys.stderr.write("".join(f"warning: {problem}\n" for problem in warnings(manifests)))
    sys.stdout.write(report(manifests, [str(path) for path in (*given.file, *given.kustomize)]))
    return 0


def _refuse(problems: Sequence[Problem]) -> int:
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    sys.stderr.write(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}\n")
    return INVALID


def report(manifests: Manifests, places: Sequence[str]) -> str:
    """Say how much was checked, and what was left out."""
    counts = Counter(
        TcpService=len(manifests.tcp_services),
        Deployment=len(manifests.deployments),
        Service=len(manifests.services),
        ConfigMap=len(manifests.config_maps),
    )
    checked = ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in counts.items() if count)
    lines = [
        f"valid: {checked}" if checked else f"no TcpService, Deployment, Service or ConfigMap in {', '.join(places)}"
    ]
    lines += [f"not checked: {each}" for each in manifests.skipped]
    return "".join(f"{line}\n" for line in lines)

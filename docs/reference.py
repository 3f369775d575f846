"""Writes `docs/flags.md` and `docs/metrics.md` from the parsers and the metrics of the code; run by `make crds`.

A test compares both pages with what this module makes of the code.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tcpservice_cli.command_line import parser as cli_parser
from tcpservice_operator import operator_settings
from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_sidecar import settings as sidecar_settings
from tcpservice_sidecar.metrics import CATALOGUE

HERE: Final = Path(__file__).parent
_WRITTEN: Final = "<!-- Written by `make crds` from the code (docs/reference.py); do not edit. -->"
_OPERATOR: Final = "tcpservice_operator_"


def flags() -> str:
    """Return the page of all flags."""
    return "\n".join(_flags()) + "\n"


def metrics() -> str:
    """Return the page of all metrics."""
    return "\n".join(_metrics()) + "\n"


def _flags() -> Iterator[str]:
    yield from (_WRITTEN, "# Flags", "")
    yield "`--help` of each program and command prints the same. Each flag of the sidecar and of the operator can also"
    yield "be set by an environment variable: `TCPSERVICE_` and the name of the flag, such as"
    yield "`TCPSERVICE_QUEUE_TIMEOUT=20s` for `--queue-timeout`. Durations are written as 250ms, 5s or 1h30m, sizes as"
    yield "64Mi or 500k."
    yield from ("", "## tcpservice-sidecar", "")
    yield from _table(sidecar_settings.make_parser())
    yield from ("", "## tcpservice-operator", "")
    yield from _table(operator_settings.make_parser())
    for name, command in _commands(cli_parser({})):
        yield from ("", f"## tcpservice {name}", "")
        yield from _table(command)


def _commands(whole: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _table(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from ("| flag | meaning |", "|---|---|")
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._VersionAction):
            continue
        yield f"| `{_written(action)}` | {_cell(_help(parser, action))} |"


def _written(action: argparse.Action) -> str:
    values = f" {_value(action)}" if action.nargs != 0 else ""
    return f"{', '.join(action.option_strings)}{values}".strip()


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(map(str, action.choices)) if action.choices is not None else action.dest.upper()


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return " ".join(argparse.HelpFormatter(parser.prog)._expand_help(action).split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _metrics() -> Iterator[str]:
    yield from (_WRITTEN, "# Metrics", "")
    yield "`/metrics` of a sidecar and of the operator serve these metrics in the format of Prometheus. Histograms have"
    yield "the series `_bucket`, `_sum` and `_count`. Over OTLP, sidecars send the same metrics under the names of"
    yield "OpenTelemetry."
    yield "[Traces and metrics](observability.md) has the alerts, and [Concepts](concepts.md) the values of `code`."
    yield from ("", "## Sidecar", "")
    yield from ("| Prometheus | OpenTelemetry | type | labels | meaning |", "|---|---|---|---|---|")
    for each in CATALOGUE:
        labels = _listed(each.labels)
        yield f"| `{each.prometheus}` | `{each.name}` | {each.kind} | {labels} | {_cell(each.help)} |"
    yield from ("", "## Operator", "", "| Prometheus | type | meaning |", "|---|---|---|")
    for family in OperatorMetrics().registry.collect():
        if family.name.startswith(_OPERATOR):
            name = family.name + "_total" * (family.type == "counter")
            yield f"| `{name}` | {family.type} | {_cell(family.documentation)} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    (HERE / "flags.md").write_text(flags())
    (HERE / "metrics.md").write_text(metrics())

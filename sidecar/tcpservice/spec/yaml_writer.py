"""YAML that every reader understands alike: texts are quoted where one of them could see a number, boolean or date.

Used by all that prints manifests: `tcpservice inject`, the CRD, the chart's files. PyYAML quotes what YAML 1.1 would
take for something else. Kubernetes reads YAML by Go's rules, which differ: it takes the text 25921e05 for a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

WIDTH: Final = 120
_LIKE_A_NUMBER: Final = re.compile(r"[-+.]*[0-9][0-9a-fA-FoOxX_.:eE+-]*")
_RESERVED: Final = frozenset(["", "~", ".inf", ".nan", "false", "n", "no", "null", "off", "on", "true", "y", "yes"])


class _Dumper(yaml.SafeDumper):
    """Quotes what is not clearly a text, and writes a value out in full each time that it occurs."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the interface of PyYAML
        """Write no anchors, which few people expect in a manifest."""
        return True


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    doubtful = text.lower() in _RESERVED or _LIKE_A_NUMBER.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if doubtful else None)


_Dumper.add_representer(str, _represent)


def write_yaml(*documents: Any) -> str:
    """Write documents of plain data (dicts, lists, texts, numbers, booleans, None), in the order of their keys."""
    return write_all(documents)


def write_all(documents: Iterable[Any]) -> str:
    """Write any number of documents, each after the first with a line `---` before it."""
    text: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    return text

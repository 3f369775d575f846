"""The fields of a TcpService as a list: path, type, meaning, and what is allowed.

Used by `tcpservice explain`, and by `make crds`, which writes docs/fields.md. The list comes from the
CustomResourceDefinition, so it cannot differ from what the API server accepts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.api.crd import definition

_HEADING: Final = """\
# Fields

The fields of a TcpService, `tcpservice.dev/v1alpha1`. `tcpservice explain FIELD` shows the same in a terminal.
For editors there is a JSON schema,
[tcpservice.schema.json](https://github.com/tcpservice/tcpservice/blob/main/docs/tcpservice.schema.json).

| field | type | meaning |
|---|---|---|
"""


class Field(Struct, frozen=True, kw_only=True):
    """A field: its dotted path ('' for the whole object), the items of a list marked by `[]`.

    `allowed` has the values or bounds, '' where its type says all.
    """

    path: str
    type: str
    description: str
    allowed: str
    required: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def depth(self) -> int:
        """How many parts the path has."""
        return self.path.count(".") + 1 if self.path else 0

    def is_below(self, other: Field) -> bool:
        """Whether this field is a part of another."""
        return self is not other and (not other.path or self.path.startswith((f"{other.path}.", f"{other.path}[].")))


def fields() -> list[Field]:
    """Return all fields that people may set, each after the one it is a part of; the first is the whole object."""
    schema = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = {"spec": schema["properties"]["spec"]}
    return list(_fields({**schema, "properties": spec}, "", required=False))


def _fields(schema: dict[str, Any], path: str, *, required: bool, more: str = "") -> Iterator[Field]:
    """Yield a field and those below it; `more` is what the object around it allows."""
    item = schema.get("items")
    yield Field(
        path=path,
        type=_type(schema),
        description=schema.get("description") or (item or {}).get("description", ""),
        allowed="; ".join(part for part in (_allowed(schema), more) if part),
        required=required,
    )
    inner, prefix = (item, f"{path}[].") if item else (schema, f"{path}." if path else "")
    for name, each in inner.get("properties", {}).items():
        more = _rules(inner, f".{name}")
        yield from _fields(each, f"{prefix}{name}", required=name in inner.get("required", ()), more=more)


def _type(schema: dict[str, Any]) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}s"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}s"
    return str(schema["type"])


def _allowed(schema: dict[str, Any]) -> str:
    """Return what is allowed beyond the type, in words."""
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("type") == "integer":
        return f"{schema['minimum']} to {schema['maximum']}"
    return _rules(schema, "")


def _rules(schema: dict[str, Any], path: str) -> str:
    """Return what the CEL rules of a schema say about the field at a path below it; "" is the field itself."""
    rules = schema.get("x-kubernetes-validations", ())
    return "; ".join(rule["message"].removeprefix("expected ") for rule in rules if rule.get("fieldPath", "") == path)


def text() -> str:
    """Return the page of the documentation."""
    rows = []
    for field in fields()[1:]:
        kind = f"{field.type}{', required' if field.required else ''}"
        meaning = field.description + (f" Allowed: {field.allowed}." if field.allowed else "")
        rows.append(f"| `{field.path}` | {kind} | {meaning} |\n".replace("\\", "\\\\"))
    return _HEADING + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(text())

"""Converts the structs of a TcpService to the structural schema of a CustomResourceDefinition.

Used by `crd`. Kubernetes supports a part of JSON Schema only: no references, no `null` type, and no choice of types
except int-or-string. The CEL rules (`cel_rules`) check what such a schema cannot. The schema leaves out what TcpService
does not support yet, so that the API server reports it as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, inspect

from tcpservice.spec.unsupported import UNSUPPORTED_FIELDS, UNSUPPORTED_VALUES

Schema = dict[str, Any]

_ANY_TEXT: Final = 1024
"""The longest text if its type has no bound. Kubernetes rejects CEL rules on unbounded texts as too expensive."""


def schema_of(kind: type[Struct], rules: Mapping[str, list[dict[str, str]]]) -> Schema:
    """Return the schema of a struct. `rules` are CEL rules by dotted path; `[]` in a path means the items of a list."""
    return _Writer(rules).write(inspect.type_info(kind), "", "")


class _Writer:
    """Converts types recursively; its only state is the rules."""

    def __init__(self, rules: Mapping[str, list[dict[str, str]]]) -> None:
        self._rules = rules
        self._left_out = {f".{path}" for path in UNSUPPORTED_FIELDS}
        self._left_out_values = {(f".{path}", value) for path, value in UNSUPPORTED_VALUES}

    def write(self, kind: inspect.Type, path: str, description: str) -> Schema:
        """Return the schema of the type at a path."""
        if isinstance(kind, inspect.Metadata):
            own = (kind.extra_json_schema or {}).get("description", "")
            expected = (kind.extra or {}).get("expected", "")
            return _say_expected(self.write(kind.type, path, own or description), expected)
        if isinstance(kind, inspect.UnionType):
            return self._union(kind, path, description)
        schema = self._plain(kind, path)
        if description:
            schema["description"] = description
        if path in self._rules:
            schema["x-kubernetes-validations"] = self._rules[path]
        return schema

    def _union(self, kind: inspect.UnionType, path: str, description: str) -> Schema:
        """Leave out null, which Kubernetes drops. A number or text becomes int-or-string, and CEL rules bound it."""
        choices = [choice for choice in kind.types if not isinstance(choice, inspect.NoneType)]
        if len(choices) == 1:
            return self.write(choices[0], path, description)
        schema: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
        schema["description"] = description
        schema["x-kubernetes-validations"] = self._rules[path]
        return schema

    def _plain(self, kind: inspect.Type, path: str) -> Schema:
        match kind:
            case inspect.StructType():
                return self._struct(kind, path)
            case inspect.DictType():
                return {
                    "type": "object",
                    "additionalProperties": self.write(kind.value_type, f"{path}.*", ""),
                    "minProperties": kind.min_length or 0,
                    "maxProperties": 64,
                }
            case inspect.VarTupleType():
                return self._list(kind, path)
            case inspect.IntType():
                return {"type": "integer", "format": "int64", "minimum": kind.ge, "maximum": kind.le}
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.LiteralType():
                values = [str(value) for value in kind.values if (path, value) not in self._left_out_values]
                return {"type": "string", "enum": sorted(values)}
            case inspect.StrType():
                return _text(kind)
        raise TypeError(f"{path}: no schema is known for {kind}")

    def _struct(self, kind: inspect.StructType, path: str) -> Schema:
        properties = {
            field.encode_name: self.write(field.type, f"{path}.{field.encode_name}", "")
            for field in kind.fields
            if f"{path}.{field.encode_name}" not in self._left_out
        }
        required = sorted(field.encode_name for field in kind.fields if field.required)
        schema: Schema = {"type": "object", "description": (kind.cls.__doc__ or "").strip(), "properties": properties}
        return schema | ({"required": required} if required else {})

    def _list(self, kind: inspect.VarTupleType, path: str) -> Schema:
        items = self.write(kind.item_type, f"{path}[]", "")
        schema: Schema = {"type": "array", "items": items, "maxItems": kind.max_length}
        key = next((key for key in ("name", "type") if key in items.get("required", ())), None)
        if key is None or path.endswith((".from", ".to")):
            return schema | {"x-kubernetes-list-type": "atomic"}
        return schema | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _say_expected(schema: Schema, expected: str) -> Schema:
    """Replace a pattern by a CEL rule with words: for a pattern, the API server shows the regular expression."""
    if expected and "pattern" in schema:
        rule = {"rule": f"self.matches(r'{schema.pop('pattern')}')", "message": f"expected {expected}"}
        schema["x-kubernetes-validations"] = [*schema.get("x-kubernetes-validations", ()), rule]
    return schema


def _text(kind: inspect.StrType) -> Schema:
    schema: Schema = {"type": "string", "maxLength": kind.max_length or _ANY_TEXT}
    if kind.min_length:
        schema["minLength"] = kind.min_length
    if kind.pattern is not None:
        schema["pattern"] = kind.pattern
    return schema

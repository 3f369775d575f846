from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct, inspect

from tcpservice.spec.schema import TcpService
from tcpservice.spec.slices import EndpointSlice


def fields_of(kind: inspect.Type, path: str) -> Iterator[tuple[str, inspect.Type]]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from fields_of(inner, path)
        case inspect.UnionType(types=types):
            for each in types:
                yield from fields_of(each, path)
        case inspect.VarTupleType(item_type=item):
            yield from fields_of(item, f"{path}[]")
        case inspect.StructType(fields=fields):
            for field in fields:
                yield f"{path}.{field.encode_name}", field.type
                yield from fields_of(field.type, f"{path}.{field.encode_name}")


def bounds_of(kind: inspect.Type) -> Iterator[inspect.VarTupleType | inspect.IntType]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from bounds_of(inner)
        case inspect.UnionType(types=types):
            for each in types:
                yield from bounds_of(each)
        case inspect.VarTupleType() | inspect.IntType():
            yield kind


def fields(kind: type[Struct]) -> dict[str, inspect.Type]:
    return dict(fields_of(inspect.type_info(kind), ""))


def test_every_field_of_the_spec_is_described() -> None:
    for path, kind in fields(TcpService).items():
        if path.startswith((".spec", ".status")):
            assert isinstance(kind, inspect.Metadata), path
            assert (kind.extra_json_schema or {}).get("description", "").endswith("."), path


def test_every_group_says_what_it_is() -> None:
    definitions = msgspec.json.schema(TcpService)["$defs"]
    assert all(each["description"].endswith(".") for each in definitions.values())


def test_every_list_and_number_is_bounded() -> None:
    for kind in (TcpService, EndpointSlice):
        for path, field in fields(kind).items():
            for bounded in bounds_of(field):
                if isinstance(bounded, inspect.VarTupleType):
                    assert bounded.max_length is not None, path
                else:
                    assert bounded.ge is not None, path
                    assert bounded.le is not None, path


def test_patterns_are_of_the_kind_that_kubernetes_reads() -> None:
    patterns = re.findall(r'"pattern": "(.*?)"[,}]', json.dumps(msgspec.json.schema(TcpService)))
    assert patterns
    assert not any("(?" in pattern for pattern in patterns)

"""The variables of a container: values, fields of the pod, keys of ConfigMaps, and `$(NAME)` in them.

Used by `fleet_plan`, which knows the manifests, and by `environment`, which knows the pod. Users do not keep Secrets in
manifest files. A variable from a Secret gets the value of the shell's variable of the same name, and a note reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from tcpservice.spec.checked import Checked
from tcpservice.spec.problems import Finding, Path
from tcpservice_local.workloads import Container, EnvFrom, EnvVar, KeyRef

_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_BY_KEY: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.podIP", "status.podIPs",
)  # fmt: skip


class Variable(Struct, frozen=True):
    """A variable's value, or the field of the pod from which it comes."""

    name: str
    value: str = ""
    field: str | None = None


def read_variables(
    container: Container, place: Path, found: Checked, maps: Mapping[str, Checked], notes: list[str]
) -> tuple[Variable, ...]:
    """Resolve what the manifests say; mistakes are added to the Deployment, what is left open to the notes."""
    reader = _Reader(found, maps, notes)
    whole = [
        each
        for at, source in enumerate(container.env_from or ())
        for each in reader.all_of(source, (*place, "envFrom", at))
    ]
    own = [
        each for at, variable in enumerate(container.env or ()) for each in reader.one(variable, (*place, "env", at))
    ]
    return (*whole, *own)


class _Reader:
    """Resolves references to ConfigMaps in the Deployment's namespace."""

    def __init__(self, found: Checked, maps: Mapping[str, Checked], notes: list[str]) -> None:
        self._found = found
        self._maps = maps
        self._notes = notes
        self._label = found.document.label
        self._namespace = str(found.part(("metadata", "namespace"), str) or "default")

    def one(self, variable: EnvVar, place: Path) -> Iterator[Variable]:
        """Give the variable, unless it is left out."""
        source = variable.value_from
        if source is None:
            yield Variable(variable.name, variable.value or "")
        elif source.field_ref is not None:
            path = source.field_ref.field_path
            if path not in FIELDS and not _BY_KEY.fullmatch(path):
                known = f"{', '.join(FIELDS[:-1])}, {FIELDS[-1]}, metadata.labels['KEY'] or metadata.annotations['KEY']"
                near = get_close_matches(path, FIELDS, n=1)
                hint = f', did you mean "{near[0]}"?' if near else f"; expected {known}"
                self._refuse((*place, "valueFrom", "fieldRef", "fieldPath"), f'there is no field "{path}"{hint}')
            yield Variable(variable.name, field=path)
        elif source.config_map_key_ref is not None:
            value = self._key(source.config_map_key_ref, (*place, "valueFrom", "configMapKeyRef"))
            if value is not None:
                yield Variable(variable.name, value)
        elif source.secret_key_ref is not None:
            self._notes.append(
                f"{self._label}: {variable.name} is in a Secret; here your shell's ${variable.name} counts"
            )
        else:
            self._notes.append(f"{self._label}: {variable.name} comes from what is not known here, and is left out")

    def all_of(self, source: EnvFrom, place: Path) -> Iterator[Variable]:
        """Give a variable for each key of a ConfigMap."""
        if source.config_map_ref is not None:
            ref = source.config_map_ref
            data = self._data(ref.name, (*place, "configMapRef", "name"), optional=ref.optional is True)
            for key, value in (data or {}).items():
                yield Variable((source.prefix or "") + key, value)
        elif source.secret_ref is not None:
            self._notes.append(
                f"{self._label}: the variables of the Secret {source.secret_ref.name} are left to your shell"
            )

    def _key(self, ref: KeyRef, place: Path) -> str | None:
        data = self._data(ref.name, (*place, "name"), optional=ref.optional is True)
        if data is not None and ref.key not in data and not ref.optional:
            there = f"it has {', '.join(data)}" if data else "it is empty"
            self._refuse((*place, "key"), f'the ConfigMap {self._namespace}/{ref.name} has no key "{ref.key}"; {there}')
        return (data or {}).get(ref.key)

    def _data(self, name: str, place: Path, *, optional: bool) -> Mapping[str, str] | None:
        found = self._maps.get(f"{self._namespace}/{name}")
        if found is None:
            if not optional:
                self._refuse(
                    place, f"no ConfigMap {self._namespace}/{name} is in the files; add it, or set optional: true"
                )
            return None
        return found.part(("data",), dict[str, str]) or {}

    def _refuse(self, path: Path, message: str) -> None:
        self._found.add(Finding(path, message))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace each `$(NAME)` that is known, as the kubelet does; `$$(NAME)` stands for itself."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replace, text)


def field_of(path: str, pod: Mapping[str, str], labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Return what a field of the pod says; `pod` has the values of FIELDS."""
    by_key = _BY_KEY.fullmatch(path)
    if by_key is None:
        return pod.get(path, "")
    return (labels if by_key[1] == "labels" else annotations).get(by_key[2], "")

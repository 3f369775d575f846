"""What the callers of a TcpService lack, for its conditions: an alias, a sidecar, or a way out of a crash loop.

Used by `conditions`. Aliases are given when a pod is made; without one, calls take the Service's address, and are
balanced by the replicas' sidecars.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tcpservice_operator.objects import APP_PORTS, NOTES, Key, Pod


def said_of_callers(key: Key, port: int, callers: Sequence[Pod]) -> str:
    """Return what is to be said of the pods that call a TcpService, nothing where all is well."""
    staying = [pod for pod in callers if not pod.leaving]
    return "".join(f"; {text}" for text in _parts("/".join(key), port, staying))


def _parts(name: str, port: int, callers: Sequence[Pod]) -> Iterator[str]:
    left_out = [pod for pod in callers if name in pod.left_out]
    if left_out:
        yield (
            f"callers without an alias for it: {len(left_out)}; their calls take the Service's address, and the "
            f"annotation {NOTES} of {left_out[0].key[1]} says why"
        )
    older = [pod for pod in callers if name not in (pod.aliases or ()) and name not in pod.left_out and not pod.refused]
    if older:
        fix = sorted({pod.restart for pod in older} - {""})
        yield (
            f"callers older than it, whose calls take the Service's address: {len(older)}; to have them made anew: "
            + ("; ".join(fix) or "delete them")
        )
    refused = [pod for pod in callers if pod.refused]
    if refused:
        yield f"callers that get no sidecar: {len(refused)}; {refused[0].key[1]} gets none, as {refused[0].refused}"
    crashing = [pod for pod in callers if pod.crashing and name in (pod.aliases or ())]
    if crashing:
        ports = ", ".join(map(str, sorted({*crashing[0].app_ports, port})))
        patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {APP_PORTS: ports}}}}})
        owner = crashing[0].workload or "OWNER"
        yield (
            f"{crashing[0].key[1]} crashes again and again; where that is since its app listens on port {port} itself, "
            f"say so: kubectl patch -n {crashing[0].key[0]} {owner} -p '{patch}'"
        )

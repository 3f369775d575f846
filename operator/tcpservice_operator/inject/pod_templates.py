"""Finds and replaces the pod template in each kind of workload.

Used by `offline`.
"""

from __future__ import annotations

from typing import Any, Final

Document = dict[str, Any]

_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"), ("spec", "template")
    ),
}


def template_of(document: Document) -> Document | None:
    """Return the pod or the pod template of a document, None if there is none."""
    steps = _TEMPLATES.get(str(document.get("kind")))
    if steps is None:
        return None
    found: Any = document
    for step in steps:
        found = found.get(step) or {}
    return found if (found.get("spec") or {}).get("containers") else None


def with_template(document: Document, template: Document) -> Document:
    """Return a document with another pod or pod template."""
    return _put(document, _TEMPLATES[document["kind"]], template)


def _put(document: Document, steps: tuple[str, ...], template: Document) -> Document:
    if not steps:
        return {**document, "metadata": template["metadata"], "spec": template["spec"]}
    if len(steps) == 1:
        return {**document, steps[0]: template}
    return {**document, steps[0]: _put(document[steps[0]], steps[1:], template)}

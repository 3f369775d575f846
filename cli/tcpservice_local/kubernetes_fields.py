"""The fields of Kubernetes' own objects, up to Kubernetes 1.37: to find misspelt ones.

Used by `manifests`. `workloads` describes only the fields that local mode reads. This table has the other fields of the
same objects. A field that neither has is reported only if a field of nearly the same name exists, because newer
versions of Kubernetes have more fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Final

from msgspec import Struct, inspect

from tcpservice.spec.problems import Finding, Path
from tcpservice_local import workloads

_ALIKE: Final = 0.8

OTHER_FIELDS: Final[dict[type[Struct], str]] = {
    workloads.Deployment: "status",
    workloads.Service: "status",
    workloads.ConfigMap: "binaryData immutable",
    workloads.Metadata: "creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName "
    "generation managedFields ownerReferences resourceVersion selfLink uid",
    workloads.TemplateMetadata: "creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers "
    "generateName generation managedFields name namespace ownerReferences resourceVersion selfLink uid",
    workloads.DeploymentSpec: "minReadySeconds paused progressDeadlineSeconds revisionHistoryLimit strategy",
    workloads.LabelSelector: "matchExpressions",
    workloads.Template: "",
    workloads.PodSpec: "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy "
    "enableServiceLinks ephemeralContainers evictionResponders hostAliases hostIPC hostNetwork hostPID hostUsers "
    "hostname hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os overhead preemptionPolicy "
    "priority priorityClassName readinessGates resourceClaims resources restartPolicy runtimeClassName schedulerName "
    "schedulingGates schedulingGroup securityContext serviceAccount setHostnameAsFQDN shareProcessNamespace subdomain "
    "tolerations topologySpreadConstraints volumes",
    workloads.Container: "image imagePullPolicy lifecycle livenessProbe resizePolicy resources restartPolicy "
    "restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy "
    "tty volumeDevices volumeMounts workingDir",
    workloads.EnvVar: "",
    workloads.ValueFrom: "fileKeyRef resourceFieldRef",
    workloads.EnvFrom: "",
    workloads.ContainerPort: "hostIP hostPort protocol",
    workloads.Probe: "exec grpc initialDelaySeconds successThreshold terminationGracePeriodSeconds",
    workloads.ServiceSpec: "allocateLoadBalancerNodePorts clusterIPs externalIPs externalName externalTrafficPolicy "
    "healthCheckNodePort internalTrafficPolicy ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP "
    "loadBalancerSourceRanges publishNotReadyAddresses sessionAffinity sessionAffinityConfig trafficDistribution",
    workloads.ServicePort: "appProtocol nodePort protocol",
}


def misspelt(value: object, kind: type[Struct]) -> Iterator[Finding]:
    """Give the fields of an object of Kubernetes that are nearly the name of another."""
    return _misspelt(value, _described(kind), ())


@cache
def _described(kind: type[Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _misspelt(value: object, kind: inspect.Type, path: Path) -> Iterator[Finding]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from _misspelt(value, inner, path)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _misspelt(value, each, path)
        case inspect.VarTupleType(item_type=item) if isinstance(value, list):
            for index, each in enumerate(value):
                yield from _misspelt(each, item, (*path, index))
        case inspect.StructType(cls=cls, fields=fields) if isinstance(value, dict) and cls in OTHER_FIELDS:
            known = {field.encode_name: field.type for field in fields}
            every = [*known, *OTHER_FIELDS[cls].split()]
            for name, inner in known.items():
                yield from _misspelt(value.get(name), inner, (*path, name))
            for name in (name for name in value if name not in every):
                if near := nearest(name, every, _ALIKE):
                    yield Finding((*path, name), f'unknown field, did you mean "{near}"?')


def nearest(name: str, names: list[str], alike: float = 0.6) -> str | None:
    """Return the known name closest to a misspelt one: the same in another case, else the most similar."""
    same = (each for each in names if each.lower() == name.lower())
    return next(same, None) or next(iter(get_close_matches(name, names, n=1, cutoff=alike)), None)

"""Local mode: TcpService and Deployment manifests as processes of this machine, each replica with its own sidecar.

Used by `tcpservice up`, the demo and tests. A change, top to bottom: `files` reads, `manifests` checks, `fleet_plan`
says what is to run, `designs` gives it ports and command lines, `fleet` brings what runs in line with that, pod by pod,
and `slices` tells all sidecars where the replicas are. A `pod` is an app and a sidecar, each `supervised`.
"""

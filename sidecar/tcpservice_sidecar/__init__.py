"""The asyncio shell of the sidecar: sockets, files, signals and HTTP around the pure core in `tcpservice`.

Nothing here decides what happens to a message. A module each for: flags (`settings`), connections (`channel`, `tls`,
`stream`), accepting (`listeners`) and dialling them (`connector`), what the exchange reads and writes on them (`io`),
Opaque services (`relay`), manifests on disk (`source`), names (`upstreams`), people's views (`admin`, `metrics`,
`logs`), and the whole (`app`).
"""

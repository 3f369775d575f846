{{- /* Names are fixed: sidecars, Lease and webhook find the operator by them, so that a cluster has one. */ -}}
{{- define "tcpservice.selector" -}}
app.kubernetes.io/name: tcpservice-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tcpservice.labels" -}}
{{ include "tcpservice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "tcpservice.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

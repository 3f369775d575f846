{{- /* The names of the operator's objects are fixed: sidecars, the Lease and the webhook find the operator by them. A cluster has one operator. */ -}}
{{- define "tcpservice.selector" -}}
app.kubernetes.io/name: tcpservice-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The labels that select the pods of one Deployment; with separateRoles, there are several. */ -}}
{{- define "tcpservice.partSelector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "tcpservice.partLabels" -}}
{{ include "tcpservice.partSelector" . }}
app.kubernetes.io/part-of: tcpservice
{{ include "tcpservice.commonLabels" .root }}
{{- end }}

{{- /* The labels of the pods of all Deployments. */ -}}
{{- define "tcpservice.allPods" -}}
{{- if .Values.separateRoles -}}
app.kubernetes.io/part-of: tcpservice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- else -}}
{{ include "tcpservice.selector" . }}
{{- end }}
{{- end }}

{{- define "tcpservice.labels" -}}
{{ include "tcpservice.selector" . }}
{{ include "tcpservice.commonLabels" . }}
{{- end }}

{{- define "tcpservice.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.commonLabels }}
{{ include "tcpservice.texts" . }}
{{- end }}
{{- end }}

{{- /* A value as text. YAML and --set make numbers of versions and quantities such as 20240101 and 1. */ -}}
{{- define "tcpservice.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{- /* A map whose values are texts: labels, annotations, node selectors. */ -}}
{{- define "tcpservice.texts" -}}
{{- $lines := list -}}
{{- range $name, $value := . -}}
{{- $lines = append $lines (printf "%s: %s" (quote $name) (include "tcpservice.text" $value | quote)) -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end }}

{{- define "tcpservice.image" -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}
{{- else }}:{{ include "tcpservice.text" (.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "tcpservice.serviceAccount" -}}
{{ .Values.serviceAccount.name | default "tcpservice-operator" }}
{{- end }}

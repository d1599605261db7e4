{{- define "runtree.name" -}}
{{- if contains "runtree" .Release.Name }}{{ .Release.Name | trunc 50 }}{{ else }}{{ printf "%s-runtree" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "runtree.selector" -}}
app.kubernetes.io/name: runtree
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "runtree.labels" -}}
{{ include "runtree.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

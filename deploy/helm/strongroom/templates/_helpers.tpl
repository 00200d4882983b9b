{{- define "strongroom.name" -}}
{{- if contains "strongroom" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-strongroom" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "strongroom.selector" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "strongroom.labels" -}}
{{ include "strongroom.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "strongroom.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "strongroom.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "strongroom.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- /* Of every container: no rights, and no file of the image can be written. */ -}}
{{- define "strongroom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "strongroom.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
# Only a new volume is given to the group. To let the group write to the data folder would make the server refuse it.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "strongroom.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.database.address) -}}
{{- fail "`replicas` is more than 1, and nodes share a PostgreSQL database: set `database.address`" -}}
{{- end -}}
{{- if and .Values.database.migrate.address (not .Values.database.address) -}}
{{- fail "`database.migrate.address` is set, and `database.address` is not" -}}
{{- end -}}
{{- if and .Values.rootKey.existingSecret (not .Values.database.address) -}}
{{- fail "`rootKey.existingSecret` is for nodes that share a database; a node with SQLite makes its root key in its volume" -}}
{{- end -}}
{{- $clientCa := regexMatch "(?m)^[ \\t]*['\"]?tls-client-ca['\"]?[ \\t]*=" .Values.settings -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "STRONGROOM_TLS_CLIENT_CA" -}}{{- $clientCa = true -}}{{- end -}}
{{- end -}}
{{- if $clientCa -}}
{{- fail "`tls-client-ca` is set, and the probes of Kubernetes have no certificate to show: no pod would become ready" -}}
{{- end -}}
{{- if and (not .Values.tls.existingSecret) (not .Values.allowPlaintext) -}}
{{- fail "set `tls.existingSecret` to a secret with tls.crt and tls.key; or `allowPlaintext` to true, if something in front of this service does TLS" -}}
{{- end -}}
{{- end -}}

{{- define "strongroom.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end -}}

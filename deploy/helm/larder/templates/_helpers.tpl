{{/* The name of everything a release has. */}}
{{- define "larder.name" -}}
{{- if contains "larder" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-larder" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "larder.selector" -}}
app.kubernetes.io/name: larder
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "larder.labels" -}}
{{ include "larder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What a container needs, but for its name. Takes a dict: root (the chart's own context), listen (an address). */}}
{{- define "larder.container" -}}
{{- $values := .root.Values -}}
image: {{ printf "%s:%s" $values.image.repository (default .root.Chart.AppVersion $values.image.tag) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: ["serve", "--config", "/etc/larder/larder.toml"]
env:
  - name: LARDER_UPSTREAM__URL
    valueFrom:
      secretKeyRef:
        name: {{ $values.upstream.secretName }}
        key: {{ $values.upstream.secretKey }}
  - name: LARDER_LISTEN__ADDRESS
    value: {{ printf "%s:%v" .listen $values.ports.clients | quote }}
  # Probes and Prometheus come from outside the pod. What changes something there needs admin.token.
  - name: LARDER_ADMIN__ADDRESS
    value: {{ printf "0.0.0.0:%v" $values.ports.admin | quote }}
  {{- with $values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: larder
    containerPort: {{ $values.ports.clients }}
  - name: larder-admin
    containerPort: {{ $values.ports.admin }}
# None of the three asks the database: one that is down must not restart Larder, nor take every pod out of service.
startupProbe:
  httpGet:
    path: /startup
    port: larder-admin
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /live
    port: larder-admin
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet:
    path: /ready
    port: larder-admin
  periodSeconds: 5
  timeoutSeconds: 3
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop: ["ALL"]
  seccompProfile:
    type: RuntimeDefault
volumeMounts:
  - name: larder-config
    mountPath: /etc/larder
    readOnly: true
{{- end -}}

{{/*
An entry of initContainers: Larder as a native sidecar. In the chart of an application that depends on this one:

  initContainers:
    {{- include "larder.sidecar" (dict "root" .Subcharts.larder) | nindent 4 }}
  volumes:
    {{- include "larder.volume" (dict "root" .Subcharts.larder) | nindent 4 }}
*/}}
{{- define "larder.sidecar" -}}
- name: larder
  restartPolicy: Always
  {{- include "larder.container" (dict "root" .root "listen" "127.0.0.1") | nindent 2 }}
{{- end -}}

{{- define "larder.volume" -}}
- name: larder-config
  configMap:
    name: {{ include "larder.name" .root }}
{{- end -}}

{{/* Changes with the configuration, so that pods are replaced. */}}
{{- define "larder.checksum" -}}
checksum/larder: {{ .root.Values.config | sha256sum }}
{{- end -}}

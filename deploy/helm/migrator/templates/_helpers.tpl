{{- define "migrator.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end -}}

{{- define "migrator.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "migrator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "migrator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "migrator.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "migrator.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- /* What a pod of ours is, whichever it is; its container is given by whoever includes this. */ -}}
{{- define "migrator.pod" -}}
serviceAccountName: {{ include "migrator.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - {name: state, emptyDir: {}}
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
  - {name: home, emptyDir: {}}
  {{- if .Values.plan }}
  - {name: plan, configMap: {name: {{ include "migrator.name" . }}-plan}}
  {{- end }}
  {{- range $number, $file := .Values.secretFiles }}
  - {name: secret-{{ $number }}, secret: {secretName: {{ $file.secret | quote }}, defaultMode: 0440}}
  {{- end }}
{{- end -}}

{{- define "migrator.container" -}}
image: {{ include "migrator.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: state, mountPath: /state}
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  - {name: home, mountPath: /home/migrator}
  {{- if .Values.plan }}
  - {name: plan, mountPath: /etc/migrator/plan, readOnly: true}
  {{- end }}
  {{- range $number, $file := .Values.secretFiles }}
  - {name: secret-{{ $number }}, mountPath: {{ $file.mountPath | quote }}, readOnly: true}
  {{- end }}
{{- end -}}

{{- define "migrator.env" -}}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- if .Values.temporal.address }}
- {name: MIGRATOR_TEMPORAL, value: {{ .Values.temporal.address | quote }}}
{{- end }}
{{- if .Values.plan }}
- {name: MIGRATOR_PLAN, value: /etc/migrator/plan/plan.toml}
{{- end }}
{{- range $name, $from := .Values.secretEnv }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $from.secret | quote }}, key: {{ $from.key | quote }}}}}
{{- end }}
{{- end -}}

{{/* The controller's container, without its name and image. */}}
{{- define "plimsoll.container" -}}
args:
- controller
- --config=/etc/plimsoll/config.yaml
- --listen=0.0.0.0:8080
{{- with .Values.watchNamespaces }}
- --namespaces={{ join "," . }}
{{- end }}
- --log-format={{ .Values.logFormat }}
- --log={{ .Values.logLevel }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
env:
# Identity in the lease, and the namespace of the lease.
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
ports:
- name: http
  containerPort: 8080
livenessProbe:
  httpGet:
    path: /livez
    port: http
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 5
  timeoutSeconds: 3
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
- name: config
  mountPath: /etc/plimsoll
  readOnly: true
{{- end }}

{{/* Defaults of each constraint in topologySpreadConstraints. */}}
{{- define "plimsoll.spreadDefaults" -}}
maxSkew: 1
whenUnsatisfiable: ScheduleAnyway
labelSelector:
  matchLabels:
    {{- include "plimsoll.selectorLabels" . | nindent 4 }}
# Only pods of the same revision count, so that pods are spread after a rollout too.
matchLabelKeys: [pod-template-hash]
{{- end }}

{{/*
What the controller may do in the namespaces that it watches, and not one verb more: no
Secrets, no pod templates, no exec. tests/cluster-rbac.yaml holds the exact result.
*/}}
{{- define "plimsoll.watchedRules" -}}
# What users declare, and what is reported back on it.
- apiGroups: [plimsoll.dev]
  resources: [scalableservices]
  verbs: [get, list, watch]
- apiGroups: [plimsoll.dev]
  resources: [scalableservices/status]
  verbs: [get, patch, update]
# Replicas are written through /scale only, so nothing else of a workload can be changed.
- apiGroups: [apps]
  resources: [deployments/scale, replicasets/scale, statefulsets/scale]
  verbs: [get, patch, update]
{{- range .Values.rbac.extraScaleTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch, update]
{{- end }}
# Which pods are ready, and of which revision.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments, replicasets, statefulsets]
  verbs: [get, list, watch]
# Who else scales the same target.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "plimsoll.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "plimsoll.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

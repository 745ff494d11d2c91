{{/*
What the controller may do in the namespaces that it watches, and not one verb more: no
Secrets and no exec; pod templates only for its own load balancers, and none without
traffic.enabled. tests/cluster-rbac.yaml and tests/traffic-rbac.yaml hold the exact result.
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
# Replicas that stand out from their peers are replaced (spec.recovery): only where a PodDisruptionBudget allows it.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
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
{{- if .Values.traffic.enabled }}
# The finalizer of a service whose HTTPRoute was changed: its weights are put back before the service is gone.
- apiGroups: [plimsoll.dev]
  resources: [scalableservices]
  verbs: [patch]
# Routes whose weights follow failover (spec.traffic.provider Gateway), and the Gateways that are asked whether they answer.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, patch, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get]
- apiGroups: [gateway.envoyproxy.io]
  resources: [backendtrafficpolicies]
  verbs: [create, delete, get, patch]
# Load balancers in front of services (spec.traffic): their objects, in the namespaces of the services.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [create, delete, get, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, delete, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings, roles]
  verbs: [create, delete, get, patch]
{{- if (.Values.balancers.networkPolicy | default dict).enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, get, patch]
{{- end }}
# Read by the agents; the API server lets an account grant only rights that it has.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
# Pods that have finished their requests are marked as the next to be deleted.
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
{{- end }}
{{- end }}

{{- define "plimsoll.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "plimsoll.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

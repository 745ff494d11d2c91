{{/*
Permissions of the controller in the namespaces that it watches: no Secrets and no exec; pod templates only for its own load
balancers with traffic.enabled. tests/cluster-rbac.yaml and tests/traffic-rbac.yaml have the exact result.
*/}}
{{- define "plimsoll.watchedRules" -}}
# The resource and its status.
- apiGroups: [plimsoll.dev]
  resources: [scalableservices]
  verbs: [get, list, watch]
- apiGroups: [plimsoll.dev]
  resources: [scalableservices/status]
  verbs: [get, patch, update]
# Replicas are written only through /scale, so no other field of a workload can be changed.
- apiGroups: [apps]
  resources: [deployments/scale, replicasets/scale, statefulsets/scale]
  verbs: [get, patch, update]
{{- range .Values.rbac.extraScaleTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch, update]
{{- end }}
# Readiness and revision of pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments, replicasets, statefulsets]
  verbs: [get, list, watch]
# Outliers are replaced (spec.recovery), within PodDisruptionBudgets.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# Other scalers of the same target.
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
# The finalizer of a service whose HTTPRoute was changed: the weights are restored before the service is deleted.
- apiGroups: [plimsoll.dev]
  resources: [scalableservices]
  verbs: [patch]
# Routes whose weights follow failover (spec.traffic.provider Gateway), and the Gateways that are probed.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, patch, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get]
- apiGroups: [gateway.envoyproxy.io]
  resources: [backendtrafficpolicies]
  verbs: [create, delete, get, patch]
# Objects of load balancers (spec.traffic), in the namespaces of the services.
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
# Read by the agents; the API server lets an account grant only permissions that it has.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
# Drained pods are marked as the next to be deleted.
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

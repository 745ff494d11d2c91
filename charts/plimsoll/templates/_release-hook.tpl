{{/* Parts of release-hook.yaml. */}}

{{- define "plimsoll.releaseHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "plimsoll.releaseRules" -}}
- apiGroups: [plimsoll.dev]
  resources: [scalableservices]
  verbs: [get, list, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, patch]
{{- end }}

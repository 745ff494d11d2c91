{{/*
The controller's configuration from `sources` in the values, and the files that it refers to. Credentials are never values:
the values name a Secret, which is mounted, and the configuration has the path.
*/}}

{{- define "plimsoll.credentialsPath" -}}
/etc/plimsoll/credentials
{{- end }}

{{/* Checks that the schema can't express; one sentence for each mistake. */}}
{{- define "plimsoll.checkSources" -}}
{{- $seen := dict -}}
{{- range $index, $source := .Values.sources -}}
{{- $path := printf "sources[%d] (%s)" $index $source.name -}}
{{- if hasKey $seen $source.name -}}
{{- fail (printf "%s has a name that an earlier source has; names of sources must be unique." $path) -}}
{{- end -}}
{{- $_ := set $seen $source.name true -}}
{{- if and $source.bearerTokenSecret $source.basicAuth -}}
{{- fail (printf "%s has bearerTokenSecret and basicAuth; at most one of them is allowed." $path) -}}
{{- end -}}
{{- if and $source.caSecret $source.caConfigMap -}}
{{- fail (printf "%s has caSecret and caConfigMap; at most one of them is allowed." $path) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* config.yaml of the controller. */}}
{{- define "plimsoll.config" -}}
{{- include "plimsoll.checkSources" . -}}
{{- $sources := list -}}
{{- range .Values.sources -}}
{{- $files := printf "%s/%s" (include "plimsoll.credentialsPath" $) .name -}}
{{- $source := pick . "name" "url" "timeout" "staleAfter" "maxConcurrency" "headers" -}}
{{- if hasKey $source "maxConcurrency" -}}
{{- /* Helm parses numbers as floats; the controller needs an integer. */ -}}
{{- $_ := set $source "maxConcurrency" (int $source.maxConcurrency) -}}
{{- end -}}
{{- if .bearerTokenSecret -}}
{{- $_ := set $source "bearerTokenFile" (printf "%s/token" $files) -}}
{{- end -}}
{{- with .basicAuth -}}
{{- $_ := set $source "basicAuth" (dict "username" .username "passwordFile" (printf "%s/password" $files)) -}}
{{- end -}}
{{- if or .caSecret .caConfigMap -}}
{{- $_ := set $source "caFile" (printf "%s/ca.crt" $files) -}}
{{- end -}}
{{- $sources = append $sources $source -}}
{{- end -}}
{{- $config := dict "sources" $sources -}}
{{- if .Values.traffic.enabled -}}
{{- $_ := set $config "balancers" (include "plimsoll.balancers" . | fromYaml) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* A single projected volume: nested mounts would depend on their order. */}}
{{- define "plimsoll.configVolume" -}}
- name: config
  projected:
    defaultMode: 292 # 0444
    sources:
    - configMap:
        name: {{ include "plimsoll.fullname" . }}
        items:
        - key: config.yaml
          path: config.yaml
    {{- range .Values.sources }}
    {{- $name := .name }}
    {{- with .bearerTokenSecret }}
    - secret:
        {{- include "plimsoll.projectedItem" (dict "from" . "path" (printf "credentials/%s/token" $name)) | nindent 8 }}
    {{- end }}
    {{- with .basicAuth }}
    - secret:
        {{- include "plimsoll.projectedItem" (dict "from" .passwordSecret "path" (printf "credentials/%s/password" $name)) | nindent 8 }}
    {{- end }}
    {{- with .caSecret }}
    - secret:
        {{- include "plimsoll.projectedItem" (dict "from" . "path" (printf "credentials/%s/ca.crt" $name)) | nindent 8 }}
    {{- end }}
    {{- with .caConfigMap }}
    - configMap:
        {{- include "plimsoll.projectedItem" (dict "from" . "path" (printf "credentials/%s/ca.crt" $name)) | nindent 8 }}
    {{- end }}
    {{- end }}
{{- end }}

{{- define "plimsoll.projectedItem" -}}
name: {{ .from.name }}
items:
- key: {{ .from.key }}
  path: {{ .path }}
{{- end }}

{{/*
The part of the controller's configuration from `balancers` in the values. Empty values are omitted, so that they set nothing
in a pod.
*/}}
{{- define "plimsoll.balancers" -}}
{{- $given := .Values.balancers -}}
{{- $agent := include "plimsoll.image" . -}}
{{- if $given.agentImage -}}
{{- $agent = include "plimsoll.registered" (dict "root" . "image" $given.agentImage) -}}
{{- end -}}
{{- $pod := dict -}}
{{- range $name, $value := $given.pod -}}
{{- if $value -}}
{{- $_ := set $pod $name $value -}}
{{- end -}}
{{- end -}}
{{- if and .Values.imagePullSecrets (not (hasKey $pod "imagePullSecrets")) -}}
{{- $_ := set $pod "imagePullSecrets" .Values.imagePullSecrets -}}
{{- end -}}
{{- $config := dict "agentImage" $agent "pod" $pod "container" $given.container -}}
{{- $_ := set $config "haproxyImage" (include "plimsoll.registered" (dict "root" . "image" $given.haproxyImage)) -}}
{{- $_ := set $config "nginxImage" (include "plimsoll.registered" (dict "root" . "image" $given.nginxImage)) -}}
{{- $_ := set $config "maxConcurrentRollouts" (int (default 2 $given.maxConcurrentRollouts)) -}}
{{- with $given.networkPolicy -}}
{{- if .enabled -}}
{{- $_ := set $config "networkPolicy" (pick . "from" "metricsFrom") -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

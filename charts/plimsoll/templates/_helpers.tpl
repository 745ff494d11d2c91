{{/* Names and labels. */}}

{{- define "plimsoll.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, with the chart's name appended unless it contains it already. */}}
{{- define "plimsoll.fullname" -}}
{{- $name := include "plimsoll.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "plimsoll.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "plimsoll.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* Selector of the controller's pods. It must never change, since a Deployment's selector is immutable. */}}
{{- define "plimsoll.selectorLabels" -}}
app.kubernetes.io/name: {{ include "plimsoll.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{/* Labels without a version, so that objects with them change only with their own content. */}}
{{- define "plimsoll.stableLabels" -}}
app.kubernetes.io/name: {{ include "plimsoll.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: plimsoll
{{- end }}

{{- define "plimsoll.labels" -}}
{{ include "plimsoll.stableLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* They take precedence over podLabels, since selectors depend on them. */}}
{{- define "plimsoll.podLabels" -}}
{{ include "plimsoll.labels" . }}
app.kubernetes.io/component: controller
{{- end }}

{{/* A digest takes precedence over a tag. */}}
{{- define "plimsoll.image" -}}
{{- $image := .Values.image -}}
{{- $name := printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- if $image.digest -}}
{{- $name = printf "%s@%s" $image.repository $image.digest -}}
{{- end -}}
{{- include "plimsoll.registered" (dict "root" . "image" $name) -}}
{{- end }}

{{/* An image, prefixed with global.imageRegistry unless it names a registry: a host with a dot, a port, or localhost. */}}
{{- define "plimsoll.registered" -}}
{{- $registry := (.root.Values.global | default dict).imageRegistry -}}
{{- $parts := splitList "/" .image -}}
{{- $host := first $parts -}}
{{- $named := and (gt (len $parts) 1) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}
{{- if or $named (not $registry) -}}
{{- .image -}}
{{- else -}}
{{- printf "%s/%s" (trimSuffix "/" $registry) .image -}}
{{- end -}}
{{- end }}

{{/* The image of a program: a dict with its name and the root. */}}
{{- define "phalanx.image" -}}
{{- $v := .root.Values.image -}}
{{- with $v.registry }}{{ . }}/{{ end }}{{ .name }}:{{ $v.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* Network policies of a file, with the API server's addresses in the place of nearly all: a dict with file and root. */}}
{{- define "phalanx.network" -}}
{{- $root := .root -}}
{{- range splitList "\n---\n" (.root.Files.Get .file) }}
{{- $policy := fromYaml . }}
{{- if and $root.Values.networkPolicy.apiServerCIDRs $policy.spec.egress }}
{{- $peers := list }}
{{- range $root.Values.networkPolicy.apiServerCIDRs }}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) }}
{{- end }}
{{- $_ := set (first $policy.spec.egress) "to" $peers }}
{{- end }}
---
{{ toYaml $policy }}
{{- end }}
{{- end -}}

{{- define "weft.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "weft.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "weft.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "weft.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "weft.selector" -}}
app.kubernetes.io/name: {{ include "weft.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weft.labels" -}}
{{ include "weft.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "weft.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "weft.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: without serviceAccount.create one that exists has to be named" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "weft.image" -}}
{{- $repository := required "image.repository: where the image was pushed to, such as myregistry.azurecr.io/weft" .Values.image.repository -}}
{{- if .Values.image.registry -}}
{{- $repository = printf "%s/%s" .Values.image.registry $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "weft.port" -}}
{{- $listen := .Values.config.listen | toString -}}
{{- if not (regexMatch "^.*:[0-9]+$" $listen) -}}
{{- fail "config.listen: needs an address and a port, such as \":9464\": the kubelet's probes ask there" -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\])" $listen -}}
{{- fail "config.listen: the kubelet's probes come from outside of the pod and cannot reach a loopback address" -}}
{{- end -}}
{{- regexFind "[0-9]+$" $listen -}}
{{- end -}}

{{/* BPF and PERFMON load and attach the programs; SYS_PTRACE and DAC_READ_SEARCH read other pods' /proc and find a
     cgroup by its number; CHECKPOINT_RESTORE opens a TLS library whose file was deleted once it was loaded. perf_event_open, of the syscalls hooks and the perf transport, wants SYS_ADMIN where
     kernel.perf_event_paranoid is 3 or more, as on AKS. */}}
{{- define "weft.capabilities" -}}
{{- $capture := .Values.config.capture | default dict -}}
{{- $all := list "BPF" "PERFMON" "SYS_PTRACE" "DAC_READ_SEARCH" -}}
{{- if ne (toString $capture.tls) "false" -}}
{{- $all = append $all "CHECKPOINT_RESTORE" -}}
{{- end -}}
{{- if or (eq ($capture.hooks | default "auto") "syscalls") (eq ($capture.transport | default "ringbuf") "perf") -}}
{{- $all = append $all "SYS_ADMIN" -}}
{{- end -}}
{{- concat $all .Values.extraCapabilities | uniq | toYaml -}}
{{- end -}}

{{/* The kubelet kills what has not ended by then. */}}
{{- define "weft.gracePeriod" -}}
{{- $drain := .Values.config.drain | default "5s" | toString -}}
{{- $seconds := regexFind "^[0-9.]+" $drain | float64 -}}
{{- if hasSuffix "ms" $drain -}}
{{- $seconds = divf $seconds 1000 -}}
{{- else if hasSuffix "m" $drain -}}
{{- $seconds = mulf $seconds 60 -}}
{{- else if hasSuffix "h" $drain -}}
{{- $seconds = mulf $seconds 3600 -}}
{{- end -}}
{{- if le (.Values.terminationGracePeriodSeconds | float64) $seconds -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is not longer than config.drain (%s): spans would be lost" .Values.terminationGracePeriodSeconds $drain) -}}
{{- end -}}
{{- .Values.terminationGracePeriodSeconds -}}
{{- end -}}

{{/* What ends in a ConfigMap can be read by everyone who may look at the namespace. */}}
{{- define "weft.refuseSecrets" -}}
{{- $otlp := .Values.config.otlp | default dict -}}
{{- if $otlp.headers -}}
{{- fail "config.otlp.headers: would end in a ConfigMap. Put them into a Secret, and name it in secrets.otlpHeaders.name" -}}
{{- end -}}
{{- range $key := list "endpoint" "traces_endpoint" -}}
{{- if regexMatch "://[^/@]*@" (get $otlp $key | default "" | toString) -}}
{{- fail (printf "config.otlp.%s: holds a password, and would end in a ConfigMap. Put an Authorization header into a Secret, and name it in secrets.otlpHeaders.name" $key) -}}
{{- end -}}
{{- if regexMatch "(?i)[?&][^=&]*(key|token|secret|password|sig)[^=&]*=" (get $otlp $key | default "" | toString) -}}
{{- fail (printf "config.otlp.%s: holds a credential in its query, and would end in a ConfigMap. Put it into a header, in a Secret, and name that in secrets.otlpHeaders.name" $key) -}}
{{- end -}}
{{- end -}}
{{- range $variable := .Values.env -}}
{{- if and $variable.value (regexMatch "(HEADERS|PASSWORD|TOKEN|SECRET|CONNECTION_STRING|API_KEY)" $variable.name) -}}
{{- fail (printf "env: %s is given as plain text. Use valueFrom.secretKeyRef" $variable.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weft.headersSecret" -}}
{{- if .Values.secrets.otlpHeaders.name -}}
{{- .Values.secrets.otlpHeaders.name -}}
{{- else if .Values.keyVault.enabled -}}
{{- printf "%s-otlp-headers" (include "weft.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "weft.appArmor" -}}
{{- if has .Values.appArmorProfile (list "Unconfined" "RuntimeDefault") -}}
type: {{ .Values.appArmorProfile }}
{{- else -}}
type: Localhost
localhostProfile: {{ .Values.appArmorProfile }}
{{- end -}}
{{- end -}}

{{- define "weft.appArmorAnnotation" -}}
{{- if eq .Values.appArmorProfile "Unconfined" -}}
unconfined
{{- else if eq .Values.appArmorProfile "RuntimeDefault" -}}
runtime/default
{{- else -}}
localhost/{{ .Values.appArmorProfile }}
{{- end -}}
{{- end -}}

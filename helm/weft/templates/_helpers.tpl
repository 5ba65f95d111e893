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
{{- $port := regexFind "[0-9]+$" $listen -}}
{{- if or (lt (atoi $port) 1) (gt (atoi $port) 65535) -}}
{{- fail (printf "config.listen: %s is not a port: 1 to 65535" $port) -}}
{{- end -}}
{{- atoi $port -}}
{{- end -}}

{{/* auto, on or off. Without quotes YAML takes the last two for booleans, and weft knows the words only. */}}
{{- define "weft.kubernetes" -}}
{{- $kubernetes := .Values.config.kubernetes | default dict -}}
{{- get $kubernetes "enabled" | toString | default "auto" | replace "true" "on" | replace "false" "off" -}}
{{- end -}}

{{/* Where spans go; nothing without the exporter otlp. The more particular one wins. */}}
{{- define "weft.endpoint" -}}
{{- if has "otlp" (.Values.config.exporters | default (list "otlp")) -}}
{{- $otlp := .Values.config.otlp | default dict -}}
{{- $otlp.traces_endpoint | default $otlp.endpoint | default "http://localhost:4318" -}}
{{- end -}}
{{- end -}}

{{/* Without a port it is the scheme's. gRPC's endpoint may have no scheme: then insecure decides. */}}
{{- define "weft.endpointPort" -}}
{{- $otlp := .Values.config.otlp | default dict -}}
{{- $server := include "weft.endpoint" . | lower | regexFind "^([a-z]+://)?[^/?#]+" -}}
{{- $port := regexFind ":[0-9]+$" $server | trimPrefix ":" -}}
{{- if or $port (not $server) -}}
{{- $port -}}
{{- else if or (hasPrefix "http://" $server) (and $otlp.insecure (not (contains "://" $server))) -}}
80
{{- else -}}
443
{{- end -}}
{{- end -}}

{{/* Where a pod runs, and who may pull its image. The test takes the same: else it is Pending, or cannot be pulled,
     where weft runs. An account can bring Secrets for pulling as well, and on OpenShift the right to its user. */}}
{{- define "weft.place" -}}
serviceAccountName: {{ include "weft.serviceAccount" . }}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .Values.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
affinity:
  {{- if .Values.affinity }}
  {{- toYaml .Values.affinity | nindent 2 }}
  {{- else }}
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - {key: kubernetes.io/arch, operator: In, values: [amd64, arm64]}
            - {key: type, operator: NotIn, values: [virtual-kubelet]}
  {{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* All that the configuration is read from or names: environment and files. */}}
{{- define "weft.env" -}}
- name: WEFT_CONFIG
  value: /etc/weft/weft.yaml
- name: WEFT_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- with include "weft.headersSecret" . }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.secrets.otlpHeaders.key }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "weft.volumeMounts" -}}
- {name: config, mountPath: /etc/weft, readOnly: true}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "weft.volumes" -}}
- name: config
  configMap:
    name: {{ include "weft.fullname" . }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* BPF and PERFMON load and attach the programs; SYS_PTRACE and DAC_READ_SEARCH read other pods' /proc and find a
     cgroup by its number; CHECKPOINT_RESTORE opens a TLS library whose file was deleted once it was loaded.
     perf_event_open, of the syscalls hooks and the perf transport, wants SYS_ADMIN where kernel.perf_event_paranoid is 3
     or more, as on Debian (not on AKS' Ubuntu); IPC_LOCK maps more of the transport's buffers than RLIMIT_MEMLOCK allows. */}}
{{- define "weft.capabilities" -}}
{{- $capture := .Values.config.capture | default dict -}}
{{- $all := list "BPF" "PERFMON" "SYS_PTRACE" "DAC_READ_SEARCH" -}}
{{- if ne (toString $capture.tls) "false" -}}
{{- $all = append $all "CHECKPOINT_RESTORE" -}}
{{- end -}}
{{- $perf := eq ($capture.transport | default "ringbuf") "perf" -}}
{{- if or (eq ($capture.hooks | default "auto") "syscalls") $perf -}}
{{- $all = append $all "SYS_ADMIN" -}}
{{- end -}}
{{- if $perf -}}
{{- $all = append $all "IPC_LOCK" -}}
{{- end -}}
{{- range .Values.extraCapabilities -}}
{{- if hasPrefix "CAP_" . -}}
{{- fail (printf "extraCapabilities: %s: Kubernetes' names are without CAP_: %s" . (trimPrefix "CAP_" .)) -}}
{{- end -}}
{{- end -}}
{{- concat $all .Values.extraCapabilities | uniq | toYaml -}}
{{- end -}}

{{/* The kubelet kills what has not ended by then. */}}
{{- define "weft.gracePeriod" -}}
{{- $drain := get .Values.config "drain" | toString | default "5s" | trim -}}
{{- $seconds := regexFind "^[0-9]+" $drain | float64 -}}
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

{{/* A value of seccompProfile or appArmorProfile as Kubernetes has it. */}}
{{- define "weft.profile" -}}
{{- if has . (list "Unconfined" "RuntimeDefault") -}}
type: {{ . }}
{{- else -}}
type: Localhost
localhostProfile: {{ . }}
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

{{- define "thinkbudget.labels" -}}
app.kubernetes.io/name: thinkbudget
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "thinkbudget.secret" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" .Release.Name) }}
{{- end }}

{{- define "thinkbudget.leaveSeconds" -}}
{{ add (int .Values.settings.drain_seconds) 60 }}
{{- end }}

{{- /* What the pods of a group have in common. Takes the root, the part and the container. */ -}}
{{- define "thinkbudget.pod" -}}
metadata:
  labels:
    {{- include "thinkbudget.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
spec:
  terminationGracePeriodSeconds: {{ include "thinkbudget.leaveSeconds" .root }}
  # Dockerfile's user, who must read the Secret.
  securityContext: {runAsUser: 10001, fsGroup: 10001}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .container }}
      image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      env:
        # As `thinkbudget serve` does by itself: streams then cost a quarter less.
        - {name: RAY_SERVE_USE_GRPC_BY_DEFAULT, value: "1"}
        - {name: RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD, value: "0"}
        - {name: RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP, value: "0"}
        {{- with .root.Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if eq .part "head" }}
      livenessProbe:
        exec: {command: [ray, health-check, --skip-version-check, --address, "127.0.0.1:6379"]}
        initialDelaySeconds: 60
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 12
      ports:
        - {containerPort: 6379, name: gcs-server}
        - {containerPort: 8265, name: dashboard}
        - {containerPort: 8000, name: serve}
      {{- else }}
      readinessProbe:
        httpGet: {path: /-/healthz, port: 8000}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 3
      {{- end }}
      resources: {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: keys, mountPath: /etc/thinkbudget, readOnly: true}
        - {name: files, mountPath: /etc/thinkbudget-files, readOnly: true}
        {{- if .root.Values.storage.existingClaim }}
        - {name: storage, mountPath: /var/lib/thinkbudget}
        {{- end }}
  volumes:
    - name: keys
      secret: {secretName: {{ include "thinkbudget.secret" .root }}, defaultMode: 0440}
    - name: files
      configMap: {name: {{ .root.Release.Name }}-files}
    {{- if .root.Values.storage.existingClaim }}
    - name: storage
      persistentVolumeClaim: {claimName: {{ .root.Values.storage.existingClaim }}}
    {{- end }}
{{- end }}

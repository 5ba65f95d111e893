#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prints weft.yaml, the chart as plain manifests: render.sh [HELM] >deploy/kubernetes/weft.yaml. The image's name is for
# sed: s|REGISTRY/weft:0.1.0|myregistry.example.com/weft@sha256:…|
set -euo pipefail
cd "$(dirname "$0")/../.."
cat <<'NAMESPACE'
# Made from the chart by deploy/kubernetes/render.sh: change that, not this.
apiVersion: v1
kind: Namespace
metadata:
  name: weft
  labels:
    pod-security.kubernetes.io/enforce: privileged
NAMESPACE
"${1:-helm}" template weft helm/weft --namespace weft --no-hooks --kube-version 1.34.0 --values helm/weft/values-any.yaml \
	--set image.repository=REGISTRY/weft

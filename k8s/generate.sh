#!/bin/sh
# Write what is generated anew: the custom resource definition, the field reference, the base without operator,
# the Helm chart.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -m dimse_mesh.operator crd > k8s/crd/dimseproxies.yaml
"$python" -m dimse_mesh.operator reference > docs/deploy/reference.md
"$python" -m dimse_mesh.operator render --image dimse-mesh:latest k8s/base/zone.yaml > k8s/base/manifests.yaml
"$python" k8s/chart.py

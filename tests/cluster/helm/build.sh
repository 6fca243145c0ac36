#!/bin/sh
# Build helm, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"
. ../../../tests/support/gotool.sh

version=$(version_of helm.sh/helm/v3)
use_cache "helm-$version"
build helm helm.sh/helm/v3/cmd/helm "the chart is not tested" "-X helm.sh/helm/v3/internal/version.version=$version"
echo "$cache/helm"

#!/bin/sh
# Build helm from the Go module proxy, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^[[:space:]]*helm.sh\/helm\/v3 \(v[0-9.]*\).*/\1/p' go.mod)
cache="${DIMSE_MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dimse-mesh}/helm-$version"
mkdir -p "$cache"

if [ ! -x "$cache/helm" ]; then
  command -v go >/dev/null || {
    echo "helm is built from source, and Go is missing (golang.org/dl): the chart is not tested" >&2
    exit 1
  }
  echo "building helm $version; this happens once and takes some minutes" >&2
  stamp="-X helm.sh/helm/v3/internal/version.version=$version"
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $stamp" -o "$cache/helm.$$" helm.sh/helm/v3/cmd/helm
  mv "$cache/helm.$$" "$cache/helm"
fi
echo "$cache/helm"

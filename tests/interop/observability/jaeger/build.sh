#!/bin/sh
# Build Jaeger from the Go module proxy, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^[[:space:]]*github.com\/jaegertracing\/jaeger \(v[0-9.]*\).*/\1/p' go.mod)
cache="${DIMSE_MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dimse-mesh}/jaeger-$version"
mkdir -p "$cache"

if [ ! -x "$cache/jaeger" ]; then
  command -v go >/dev/null || {
    echo "jaeger is built from source, and Go is missing (golang.org/dl): no backend for traces to test with" >&2
    exit 1
  }
  echo "building jaeger $version; this happens once and takes some minutes" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$cache/jaeger.$$" github.com/jaegertracing/jaeger/cmd/jaeger
  mv "$cache/jaeger.$$" "$cache/jaeger"
fi
echo "$cache/jaeger"

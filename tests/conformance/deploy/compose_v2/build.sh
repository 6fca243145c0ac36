#!/bin/sh
# Build the loader of Compose v2 from the Go module proxy, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^.*github.com\/compose-spec\/compose-go\/v2 \(v[0-9.]*\).*/\1/p' go.mod)
cache="${DIMSE_MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dimse-mesh}/compose-$version"
mkdir -p "$cache"

if [ ! -x "$cache/compose" ] || [ main.go -nt "$cache/compose" ]; then
  command -v go >/dev/null || {
    echo "the loader of Compose v2 is built from source, and Go is missing (golang.org/dl)" >&2
    exit 1
  }
  echo "building the loader of Compose v2 $version; this happens once" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$cache/compose.$$" .
  mv "$cache/compose.$$" "$cache/compose"
fi
echo "$cache/compose"

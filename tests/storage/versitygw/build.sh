#!/bin/sh
# Build versitygw, an S3 server, from the Go module proxy, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^[[:space:]]*github.com\/versity\/versitygw \(v[0-9.]*\).*/\1/p' go.mod)
cache="${DIMSE_MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dimse-mesh}/versitygw-$version"
mkdir -p "$cache"

if [ ! -x "$cache/versitygw" ]; then
  command -v go >/dev/null || {
    echo "versitygw is built from source, and Go is missing (golang.org/dl): buckets are not tested" >&2
    exit 1
  }
  echo "building versitygw $version; this happens once and takes some minutes" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$cache/versitygw.$$" github.com/versity/versitygw/cmd/versitygw
  mv "$cache/versitygw.$$" "$cache/versitygw"
fi
echo "$cache/versitygw"

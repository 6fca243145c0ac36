#!/bin/sh
# Build kube-apiserver and kube-controller-manager from the Go module proxy, once, into a cache outside the tree.
# Prints the directory that holds them. About ten minutes of CPU the first time, nothing after that.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' go.mod)
cache="${DIMSE_MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dimse-mesh}/control-plane-$version"
mkdir -p "$cache"

minor=${version#v1.}
minor=${minor%%.*}
names=k8s.io/component-base/version
stamp="-X $names.gitVersion=$version -X $names.gitMajor=1 -X $names.gitMinor=$minor"

for tool in kube-apiserver kube-controller-manager; do
  [ -x "$cache/$tool" ] && continue
  command -v go >/dev/null || {
    echo "$tool is built from source, and Go is missing (golang.org/dl): no Kubernetes API server to test against" >&2
    exit 1
  }
  echo "building $tool $version; this happens once and takes some minutes" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $stamp" -o "$cache/$tool.$$" "k8s.io/kubernetes/cmd/$tool"
  mv "$cache/$tool.$$" "$cache/$tool"
done
echo "$cache"

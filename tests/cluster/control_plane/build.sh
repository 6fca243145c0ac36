#!/bin/sh
# Build kube-apiserver and kube-controller-manager from the Go module proxy, once, into a cache outside the tree.
# Prints the directory that holds them. About ten minutes of CPU the first time, nothing after that.
set -eu
cd "$(dirname "$0")"
. ../../../tests/support/gotool.sh

version=$(version_of k8s.io/kubernetes)
use_cache "control-plane-$version"

minor=${version#v1.}
minor=${minor%%.*}
names=k8s.io/component-base/version
stamp="-X $names.gitVersion=$version -X $names.gitMajor=1 -X $names.gitMinor=$minor"

for tool in kube-apiserver kube-controller-manager; do
  build "$tool" "k8s.io/kubernetes/cmd/$tool" "no Kubernetes API server to test against" "$stamp"
done
echo "$cache"

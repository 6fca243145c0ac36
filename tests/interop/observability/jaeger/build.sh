#!/bin/sh
# Build Jaeger, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"
. ../../../../tests/support/gotool.sh

version=$(version_of github.com/jaegertracing/jaeger)
use_cache "jaeger-$version"
build jaeger github.com/jaegertracing/jaeger/cmd/jaeger "no backend for traces to test with"
echo "$cache/jaeger"

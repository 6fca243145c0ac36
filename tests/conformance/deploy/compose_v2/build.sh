#!/bin/sh
# Build the loader of Compose v2, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"
. ../../../../tests/support/gotool.sh

version=$(version_of github.com/compose-spec/compose-go/v2)
use_cache "compose-$version"
[ ! main.go -nt "$cache/compose" ] || rm -f "$cache/compose"
build compose . "Compose files are not read by its loader"
echo "$cache/compose"

#!/bin/sh
# Build versitygw, an S3 server, once, into a cache outside the tree. Prints the program's path.
set -eu
cd "$(dirname "$0")"
. ../../../tests/support/gotool.sh

version=$(version_of github.com/versity/versitygw)
use_cache "versitygw-$version"
build versitygw github.com/versity/versitygw/cmd/versitygw "buckets are not tested"
echo "$cache/versitygw"

#!/bin/sh
# Put an OpenTelemetry Collector together by its own builder, once, into a cache outside the tree. Prints its path.
set -eu
cd "$(dirname "$0")"
. ../../../../tests/support/gotool.sh

version=$(sed -n 's/^  version: //p' builder.yaml)
use_cache "collector-$version"

if [ ! -x "$cache/otelcol" ]; then
  need_go "the collector" "its configuration is not tried"
  echo "building the collector $version; this happens once and takes some minutes" >&2
  sed "s|^  name: .*|&\n  output_path: $cache/source|" builder.yaml >"$cache/builder.yaml"
  builder=go.opentelemetry.io/collector/cmd/builder@v$version
  CGO_ENABLED=0 go run "$builder" --config "$cache/builder.yaml" >"$cache/build.log" 2>&1 || {
    tail -20 "$cache/build.log" >&2
    exit 1
  }
  mv "$cache/source/otelcol" "$cache/otelcol"
  rm -r "$cache/source"
fi
echo "$cache/otelcol"

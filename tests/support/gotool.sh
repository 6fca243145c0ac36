# Sourced by each build.sh that compiles a program from the Go module proxy, once, into a cache outside the tree.
# The caller stands in the folder of its go.mod and has set -eu.

# version_of MODULE: the one that go.mod requires.
version_of() {
  sed -n "s|^.*[[:space:]]*$1 \\(v[0-9.]*\\).*|\\1|p" go.mod | head -n 1
}

# use_cache NAME: sets $cache, a folder for the programs of one version.
use_cache() {
  cache="${DIMSE_MESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dimse-mesh}/$1"
  mkdir -p "$cache"
}

# need_go PROGRAM CONSEQUENCE: ends where Go is missing.
need_go() {
  command -v go >/dev/null || {
    echo "$1 is built from source, and Go is missing (golang.org/dl): $2" >&2
    exit 1
  }
}

# build PROGRAM PACKAGE CONSEQUENCE [LDFLAGS]: unless $cache holds it.
build() {
  [ ! -x "$cache/$1" ] || return 0
  need_go "$1" "$3"
  echo "building $1 $version; this happens once and takes some minutes" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w ${4:-}" -o "$cache/$1.$$" "$2"
  mv "$cache/$1.$$" "$cache/$1"
}

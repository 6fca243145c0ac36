#!/bin/sh
# Build the image where no registry can be reached: a base from Debian's packages, and
# what requirements/operator.lock names.
#   deploy/image/build.sh [TAG]          (with a registry: docker build -t TAG .)
# DEV_TAG: build the development stage too, and name it so. DOCKER: the client (default docker).
# BASE_TAR: what base.sh has made already (default: it is made anew).
# PYTHON: a Python of the base's version, 3.11, to fetch wheels for it (default .venv/bin/python).
set -eu
cd "$(dirname "$0")/../.."
tag=${1:-dimse-mesh:latest}
docker=${DOCKER:-docker}
python=${PYTHON:-.venv/bin/python}
base=dimse-mesh-base:bookworm
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

make_base() {
    tar=${BASE_TAR:-}
    if [ ! -e "$tar" ]; then
        tar=$scratch/base.tar
        deploy/image/base.sh "$tar"
    fi
    $docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$tar" "$base" >/dev/null
}

$docker image inspect "$base" >/dev/null 2>&1 || make_base &
making=$!
rm -f deploy/image/wheels/*.whl deploy/image/wheels/*.tar.gz
for lock in build operator; do
    "$python" -m pip download --quiet --disable-pip-version-check --no-build-isolation --no-deps --require-hashes \
        --dest deploy/image/wheels --requirement "requirements/$lock.lock"
done
wait "$making"
build() {
    DOCKER_BUILDKIT=1 $docker build --quiet --network=none --build-arg BASE="$base" "$@" .
}
build --tag "$tag"
if [ -n "${DEV_TAG:-}" ]; then build --target dev --tag "$DEV_TAG"; fi
rm -f deploy/image/wheels/*.whl deploy/image/wheels/*.tar.gz

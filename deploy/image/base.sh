#!/bin/sh
# Make the base of the image, Debian with Python, where no registry can be reached: deploy/image/base.sh TAR
set -eu
mmdebstrap --quiet --format=tar --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    bookworm "$1.part"
mv "$1.part" "$1"

#!/bin/sh
# What the AI node does with a study: storescp starts it when no image of it has come for a second.
# usage: ./ai.sh FOLDER-OF-THE-STUDY
set -eu
results=results/$(basename "$1")
ai/bin/python segment.py "$1" "$results"
storescu -v -R -aet AI -aec RESULTS 127.0.0.1 11181 +sd "$results"

#!/bin/sh
# Makes the deployment on node 1, once.
set -eu
[ -e "$STRONGROOM_DATA/root.key" ] || exec strongroom init

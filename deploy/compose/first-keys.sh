#!/bin/sh
# Makes the deployment on node 1, once. One that was interrupted is finished.
set -eu
made="${STRONGROOM_DATA%/*}/first-keys-made"
[ -e "$made" ] || [ -e "$STRONGROOM_DATA/credentials" ] || strongroom init
# The file with the credentials may be taken away later.
: > "$made"

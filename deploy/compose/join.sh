#!/bin/sh
# Gives this node the root key of node 1, whose volume is at /node-1, and serves.
set -eu
install -d -m 700 "$STRONGROOM_DATA"
install -m 600 /node-1/data/root.key "$STRONGROOM_DATA/root.key"
exec strongroom serve --listen 0.0.0.0:4599

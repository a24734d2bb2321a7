#!/bin/sh
# Says what time it is, once a second.
echo "clock $SWARM_VERSION on $SWARM_BOX"
while :; do
    date -u +%H:%M:%S
    sleep 1
done

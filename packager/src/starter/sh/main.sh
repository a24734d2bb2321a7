# Run by the box's sh.
echo "$SWARM_WORKFLOW $SWARM_VERSION runs on $SWARM_BOX"
while :; do
    date '+%H:%M:%S'
    sleep 1
done

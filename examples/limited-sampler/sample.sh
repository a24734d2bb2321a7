#!/bin/sh
# Takes samples until its time is up; the time limit stands in the manifest. SIGINT is the moment to write the last line.
trap 'echo "the end after sample $n"; exit 0' INT
n=0
while :; do
    n=$((n + 1))
    echo "sample $n"
    sleep 0.2
done

#!/bin/bash
# Several workers on one host, each with one GPU if there are any: bash workers.sh 2 gan --preset quick --resume
set -e
count=$1
shift
port=${PORT:-23450}
addresses=$(for ((i = 0; i < count; i++)); do printf '"127.0.0.1:%d",' $((port + i)); done)
for ((i = 0; i < count; i++)); do
    TF_CONFIG="{\"cluster\": {\"worker\": [${addresses%,}]}, \"task\": {\"type\": \"worker\", \"index\": $i}}" \
        CUDA_VISIBLE_DEVICES=$i tfgen run "$@" --strategy multiworker &
    processes+=($!)
done
# A background job of a script ignores Ctrl-C: the script passes it on.
trap 'kill "${processes[@]}" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for process in "${processes[@]}"; do
    wait "$process" || code=$?
done
exit "${code:-0}"

#!/bin/bash
# One training by several nodes: sbatch slurm.sh gan --preset paper --output-dir /shared/runs
# A job that is requeued, or submitted again, goes on from the last checkpoint.
#SBATCH --job-name=tfgen
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=tfgen-%j.log
set -e
port=$((20000 + SLURM_JOB_ID % 20000))
addresses=$(for host in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
    for ((i = 0; i < SLURM_NTASKS_PER_NODE; i++)); do printf '"%s:%d",' "$host" $((port + i)); done
done)
export CLUSTER="{\"worker\": [${addresses%,}]}"
# shellcheck disable=SC2016  # Each task has an index of its own.
srun --kill-on-bad-exit=1 bash -c '
    export TF_CONFIG="{\"cluster\": $CLUSTER, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
    exec tfgen run "$@" --strategy multiworker --resume' worker "$@"

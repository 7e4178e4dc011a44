#!/bin/bash
# Every recipe of ten seeds, a task a seed: sbatch --array=0-9 slurm-array.sh --all --preset quick --output-dir /shared/runs
# Submitted again, it makes what is missing: tfgen table /shared/runs --missing 0-9 --preset quick
#SBATCH --job-name=tfgen-seeds
#SBATCH --nodes=1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=tfgen-%A-%a.log
exec tfgen run "$@" --seeds "$SLURM_ARRAY_TASK_ID" --resume

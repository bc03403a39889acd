#!/bin/bash
#SBATCH --job-name=maquette
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=maquette-%A_%a.log
# Every task of the array makes its share of the photos. Afterwards, on any machine, the same command
# with --merge in the place of --shard says whether anything is missing:
#   sbatch deploy/slurm-array.sh /shared/photos /shared/scenes
set -euo pipefail
photos=${1:?folder of photos and masks}
scenes=${2:?folder for the results}
exec maquette generate "$photos" --masks "$photos" -o "$scenes" --jobs "$SLURM_CPUS_PER_TASK" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"

#!/bin/bash
#SBATCH --job-name=maquette-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=1-00:00:00
#SBATCH --requeue
#SBATCH --output=maquette-train-%j.log
# Two machines with four cards each, fed from object storage. A process that is lost means a restart
# of all from the last checkpoint; the run folder must be seen by both machines:
#   sbatch deploy/slurm-train.sh s3://bucket/library s3://bucket/shards /shared/runs/encoder
set -euo pipefail
library=${1:?library of maquette data import}
shards=${2:?shards of maquette data build}
run=${3:?folder of the run}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
exec srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node 4 --max-restarts 5 --rdzv-backend c10d --rdzv-endpoint "$first:29500" -m maquette train image-encoder --data "$library" --stream "$shards" --out "$run" --preset gpu --minutes 1200 --device cuda

#!/bin/sh
# The whole recipe: `sh recipes/llama8b_mmlu_pro/run.sh mmlu_pro explore_tom [--dry_run]`.
# The same command goes on where it was stopped.
set -eu
data=$1 second=$2
shift 2
recipe=$(dirname "$0")
[ -f runs/llama8b_mmlu_pro/training.txt ] ||
    python "$recipe/split.py" --data "$data" --evaluation "${EVALUATION:-2000}"
exec coral improve --config "$recipe/improve.yaml" --common.data "$data" --second.data "$second" "$@"

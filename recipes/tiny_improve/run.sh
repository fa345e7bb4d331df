#!/bin/sh
# Three seeds, one after the other; the same command resumes.
set -eu
recipe=$(dirname "$0")
for seed in 0 1 2; do
    coral improve --config "$recipe/improve.yaml" --seed "$seed" --output "runs/tiny_improve/$seed" "$@"
done
python "$recipe/table.py" runs/tiny_improve/*/report.json --plot runs/tiny_improve/results.png

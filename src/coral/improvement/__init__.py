"""The loop of `coral improve`: evaluate, sample, build, train, evaluate again, and take over what is better.

```
loop.py ──► steps.py (does a step once, marks it) ──► evaluate, sample, build, train
  │         dry_run.py (only says what it would do)
  ├── arms.py     which options each step gets; identity.py which of them may change later
  ├── servers.py  who serves a checkpoint meanwhile: pools.py a pool of replicas, serving/launch.py a server
  ├── gate.py, collapse.py   is the new checkpoint taken over? does it collapse?
  └── results.py ──► report.py, plots.py
```

OUT/loop/           lock, config.yaml and run.json (what decides the results) of the whole
OUT/samples/NAME/   sampled conversations; arms whose models are the same share them
OUT/models/NAME/    a model: rows and train (not of the start), runs of its evaluations, gate.json
OUT/report.md       and report.json, plots/
"""

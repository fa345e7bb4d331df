"""Training on rows: TRL's trainers behind one frozen config, and a check before the first step.

```
rows ──► rows.py ──► encode.py, check.py ──► trainer.py (TRL) ──► export.py ──► checkpoint, train.json
         read, split  what is trained, and    steps, resume,       weights and
                      what is refused         evaluation           tokenizer
```

`fairseq2.py` writes the same training as a config and a launch script of fairseq2's recipes. `tokens.py`
finds the tokens that `encode.py` does, to be looked at, without the libraries of trainers.
"""

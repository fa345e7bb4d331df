"""A small inference engine for Llama-architecture checkpoints: numpy only, batched, reproducible.

```
EmbeddedModel ──► Worker (one thread) ──► Scheduler ──► Llama ──► numpy
 model.py          worker.py               scheduler.py   llama.py, attention.py, products.py
 request/reply     inbox, deliveries       rows, slots    one forward pass over prompts and replies
                                           cache.py       blocks of 64 positions, prefixes seen before
                                           sampler.py     one seed a row
                                           text.py        tokens -> text, stop strings
                   prompt.py              messages -> tokens, in a process that can be killed
                   checkpoint.py, tokens.py, tensors.py, template.py, files.py read the folder
```
"""

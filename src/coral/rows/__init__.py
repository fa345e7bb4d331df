"""Training rows from conversations. See docs/training_data.md.

statistics ──► caps ──► row_candidates ──► rows in a format ──► shuffled file
   │          each step streams the runs once; nothing but counters is held in memory
   └── solve rates, majority beliefs, problems shared with held-out data
"""

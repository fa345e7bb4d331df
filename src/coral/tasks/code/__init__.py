"""Tasks whose answers are programs: what they share, and one module per data set."""

"""`coral doctor`: what a model and its server can do, found out by some thirty short requests."""

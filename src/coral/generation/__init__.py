"""Batch inference: one reply, or several, to each row of a file."""

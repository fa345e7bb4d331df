"""What a running job shows of itself, as text and in notebooks; the terminal draws it in `cli/live.py`."""

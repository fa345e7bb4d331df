"""Runs that leave, and conversations that come: files of other tools. See docs/analysis.md."""

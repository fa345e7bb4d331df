"""Replica pools on this machine, SLURM or Ray: each server has a supervisor that writes into a folder."""

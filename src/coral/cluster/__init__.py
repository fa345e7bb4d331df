"""Replica pools: servers on this machine or on SLURM, kept by supervisors that write into a shared folder."""

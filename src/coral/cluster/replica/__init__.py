"""One replica of a pool: a supervisor that keeps a server running, and says in a folder where it is.

    python -m coral.cluster.replica --folder DIR [options] -- vllm serve MODEL --host {host} --port {port}
    python PATH/coral/cluster/replica ...       the same from any environment

This folder needs Python 3.9 and nothing else, so it also runs where Coral is not installed.
"""

"""llama.cpp's own server, out of the prebuilt package xllamacpp.

python llama_server.py GGUF NAME PORT THREADS [SLOTS]

Prints one line once it answers. Ends on SIGTERM.
"""

import signal
import sys
import threading
from pathlib import Path

import xllamacpp

SLOTS, CONTEXT = 8, 2048
"""Requests at a time unless told otherwise, and tokens of prompt and reply together for each of them."""


def main(gguf: Path, name: str, port: int, threads: int, slots: int = SLOTS) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * CONTEXT
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.endpoint_metrics = True
    params.use_jinja = True
    params.verbosity = 1  # errors alone
    server = xllamacpp.Server(params)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print("serving", name, "on", server.listening_address, flush=True)  # noqa: T201 - what the tests wait for
    stop.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))

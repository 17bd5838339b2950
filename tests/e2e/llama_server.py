"""A real llama.cpp server (the package xllamacpp holds it) with SmolLM2, as a process of its own.

    python llama_server.py MODEL.gguf PORT-FILE [PARALLEL]

Listens on a free port of the loopback and writes it into PORT-FILE. Runs until it is killed.
"""
import os
import signal
import sys

import xllamacpp


def main(model, port_file, parallel=2):
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"smollm2"} if isinstance(params.model_alias, set) else "smollm2"
    params.hostnames = ["127.0.0.1"] if isinstance(params.hostnames, list) else "127.0.0.1"
    params.port = 0
    params.n_ctx = 2048 * parallel
    params.n_parallel = parallel
    params.cpuparams.n_threads = 2
    params.warmup = False
    server = xllamacpp.Server(params)
    with open(port_file + ".new", "w") as f:
        f.write(server.listening_address)
    os.rename(port_file + ".new", port_file)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

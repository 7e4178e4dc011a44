"""Runs signatures of SavedModels in TensorFlow's C library, as TensorFlow Serving does, without the Python package.

    PYTHONPATH=. python tests/serving/c_runtime.py LIBRARIES JOB OUTPUTS

LIBRARIES is a directory with TensorFlow's C library. JOB is an .npz file: `calls`, a JSON list of
`{"model": directory, "inputs": {tensor: key}, "outputs": {key: tensor}}`, the arrays under their keys, and `threads`,
the number that share the calls. The outputs are written to OUTPUTS, an .npz file, under their keys. Prints TensorFlow's
version.
"""

import concurrent.futures
import functools
import json
import sys
import threading

import numpy as np

from benchmarks.c_library import Model, load_library


def main(libraries, job, destination):
    library = load_library(libraries)
    with np.load(job) as arrays:
        arrays = dict(arrays)
    lock = threading.Lock()
    load = functools.cache(lambda directory: Model(library, directory))

    def call(wanted):
        with lock:
            model = load(wanted["model"])
        function = model.function(list(wanted["inputs"]), list(wanted["outputs"].values()))
        return dict(zip(wanted["outputs"], function([arrays[key] for key in wanted["inputs"].values()]), strict=True))

    results = {}
    with concurrent.futures.ThreadPoolExecutor(int(arrays["threads"])) as pool:
        for outputs in pool.map(call, json.loads(str(arrays["calls"]))):
            results |= outputs
    np.savez(destination, **results)
    if "tensorflow" in sys.modules:
        raise RuntimeError("the Python package tensorflow was imported")
    print(library.TF_Version().decode())


if __name__ == "__main__":
    main(*sys.argv[1:])

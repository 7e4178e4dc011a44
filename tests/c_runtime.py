"""Runs signatures of SavedModels in TensorFlow's C library, as TensorFlow Serving does: no Python package is imported.

    python tests/c_runtime.py LIBRARIES JOB OUTPUTS

LIBRARIES is a directory with libtensorflow_cc.so.2 and libtensorflow_framework.so.2. JOB is an .npz file: `calls`, a
JSON list of `{"model": directory, "inputs": {tensor: key}, "outputs": {key: tensor}}`, the arrays under their keys,
and `threads`, the number that share the calls. The outputs are written to OUTPUTS, an .npz file, under their keys.
XLA is switched off, as the server does. Prints TensorFlow's version.
"""

import concurrent.futures
import ctypes
import functools
import json
import pathlib
import sys
import threading

import numpy as np

DTYPES = {1: np.dtype(np.float32), 9: np.dtype(np.int64)}
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def load_library(directory):
    ctypes.CDLL(str(directory / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(directory / "libtensorflow_cc.so.2"))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for name, result, arguments in (
        ("TF_Version", text, []),
        ("TF_NewStatus", pointer, []),
        ("TF_GetCode", ctypes.c_int, [pointer]),
        ("TF_Message", text, [pointer]),
        ("TF_DeleteStatus", None, [pointer]),
        ("TF_NewGraph", pointer, []),
        ("TF_NewSessionOptions", pointer, []),
        ("TF_LoadSessionFromSavedModel", pointer, [pointer] * 2 + [text, pointer, ctypes.c_int] + [pointer] * 3),
        ("TF_GraphOperationByName", pointer, [pointer, text]),
        ("TF_AllocateTensor", pointer, [ctypes.c_int, pointer, ctypes.c_int, size]),
        ("TF_DeleteTensor", None, [pointer]),
        ("TF_TensorData", pointer, [pointer]),
        ("TF_TensorByteSize", size, [pointer]),
        ("TF_TensorType", ctypes.c_int, [pointer]),
        ("TF_NumDims", ctypes.c_int, [pointer]),
        ("TF_Dim", ctypes.c_int64, [pointer, ctypes.c_int]),
        (
            "TF_SessionRun",
            None,
            [pointer, pointer, *[pointer, pointer, ctypes.c_int] * 2, pointer, ctypes.c_int, pointer, pointer],
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    # tensorflow::DisableXlaCompilation()
    library._ZN10tensorflow21DisableXlaCompilationEv()
    return library


class Model:
    def __init__(self, library, directory):
        self.library = library
        self.graph = library.TF_NewGraph()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = self.checked(
            lambda status: library.TF_LoadSessionFromSavedModel(
                library.TF_NewSessionOptions(), None, str(directory).encode(), tags, 1, self.graph, None, status
            )
        )

    def checked(self, call):
        status = self.library.TF_NewStatus()
        try:
            result = call(status)
            if self.library.TF_GetCode(status) != 0:
                raise RuntimeError(self.library.TF_Message(status).decode())
            return result
        finally:
            self.library.TF_DeleteStatus(status)

    def outputs(self, names):
        places = [name.split(":") for name in names]
        found = [Output(self.library.TF_GraphOperationByName(self.graph, name.encode()), int(i)) for name, i in places]
        return (Output * len(names))(*found)

    def tensor(self, array):
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.library.TF_AllocateTensor(CODES[array.dtype], dims, array.ndim, array.nbytes)
        ctypes.memmove(self.library.TF_TensorData(tensor), np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return tensor

    def array(self, tensor):
        """Returns the contents of a tensor, which is deleted."""
        shape = [self.library.TF_Dim(tensor, i) for i in range(self.library.TF_NumDims(tensor))]
        dtype = DTYPES[self.library.TF_TensorType(tensor)]
        content = ctypes.string_at(self.library.TF_TensorData(tensor), self.library.TF_TensorByteSize(tensor))
        self.library.TF_DeleteTensor(tensor)
        return np.frombuffer(content, dtype).reshape(shape)

    def run(self, inputs, outputs):
        """Returns the arrays of the named output tensors for a dict from input tensor to array."""
        fed = (ctypes.c_void_p * len(inputs))(*map(self.tensor, inputs.values()))
        fetched = (ctypes.c_void_p * len(outputs))()
        feeds, fetches = self.outputs(list(inputs)), self.outputs(outputs)
        arguments = (None, feeds, fed, len(inputs), fetches, fetched, len(outputs), None, 0, None)
        self.checked(lambda status: self.library.TF_SessionRun(self.session, *arguments, status))
        for tensor in fed:
            self.library.TF_DeleteTensor(tensor)
        return [self.array(tensor) for tensor in fetched]


def main(libraries, job, destination):
    library = load_library(pathlib.Path(libraries))
    with np.load(job) as arrays:
        arrays = dict(arrays)
    lock = threading.Lock()
    load = functools.cache(lambda directory: Model(library, directory))

    def call(wanted):
        with lock:
            model = load(wanted["model"])
        inputs = {tensor: arrays[key] for tensor, key in wanted["inputs"].items()}
        return dict(zip(wanted["outputs"], model.run(inputs, list(wanted["outputs"].values())), strict=True))

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

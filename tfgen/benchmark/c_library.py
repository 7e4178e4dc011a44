"""A SavedModel answering under TensorFlow's C++ runtime, through its C interface: what a server runs, without Python.

The process must never import TensorFlow's Python package, which brings the same library a second time.
"""

import ctypes
import importlib.util
import pathlib
import time

import numpy as np

_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 9}  # TF_FLOAT and TF_INT64 of tensorflow/c/tf_datatype.h.
_POINTERS = (
    "TF_NewStatus TF_NewGraph TF_NewSessionOptions TF_LoadSessionFromSavedModel TF_GraphOperationByName "
    "TF_AllocateTensor TF_TensorData TF_Message"
).split()


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Inference:
    """One signature of a SavedModel.

    Args:
        directory: of the SavedModel.
        tensors: `(name of the input tensor, name of the output tensor)`.
        input_dim: length of a row of the input, or None for a vector of int64 seeds.
    """

    def __init__(self, directory, tensors, input_dim):
        self.input_dim = input_dim
        (package,) = importlib.util.find_spec("tensorflow").submodule_search_locations
        (path,) = pathlib.Path(package).glob("libtensorflow_cc.*")
        # Its symbols stay its own: it has an OpenSSL that would take the place of Python's.
        self.library = ctypes.CDLL(str(path))
        for name in _POINTERS:
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.TF_TensorByteSize.restype = ctypes.c_size_t
        self.status = ctypes.c_void_p(self.library.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.library.TF_NewGraph())
        options = ctypes.c_void_p(self.library.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        arguments = options, None, str(directory).encode(), tags, 1, self.graph, None, self.status
        self.session = ctypes.c_void_p(self.library.TF_LoadSessionFromSavedModel(*arguments))
        self._check()
        self.input, self.output = map(self._tensor, tensors)
        self.description = {"threads": 0}

    def _check(self):
        if self.library.TF_GetCode(self.status):
            message = ctypes.string_at(self.library.TF_Message(self.status)).decode(errors="replace")
            raise RuntimeError(f"TensorFlow's C library: {message}")

    def _tensor(self, name):
        operation, index = name.split(":")
        return _Output(self.library.TF_GraphOperationByName(self.graph, operation.encode()), int(index))

    def answer(self, x):
        """Returns the output of a call, a float32 array of `784` columns."""
        dims = (ctypes.c_int64 * x.ndim)(*x.shape)
        allocated = self.library.TF_AllocateTensor(_TYPES[x.dtype], dims, x.ndim, ctypes.c_size_t(x.nbytes))
        given, result = (ctypes.c_void_p * 1)(allocated), (ctypes.c_void_p * 1)()
        ctypes.memmove(self.library.TF_TensorData(ctypes.c_void_p(allocated)), x.ctypes.data, x.nbytes)
        inputs, outputs = ctypes.byref(self.input), ctypes.byref(self.output)
        self.library.TF_SessionRun(self.session, None, inputs, given, 1, outputs, result, 1, None, 0, None, self.status)
        self.library.TF_DeleteTensor(ctypes.c_void_p(allocated))
        self._check()
        tensor = ctypes.c_void_p(result[0])
        data = ctypes.string_at(self.library.TF_TensorData(tensor), self.library.TF_TensorByteSize(tensor))
        self.library.TF_DeleteTensor(tensor)
        return np.frombuffer(data, np.float32).reshape(len(x), -1)

    def run(self, batch, calls):
        """Returns the seconds of each call on a batch."""
        rng = np.random.default_rng(0)
        x = (
            rng.integers(2**31, size=batch)
            if self.input_dim is None
            else rng.random((batch, self.input_dim), np.float32)
        )
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            self.answer(x)
            seconds.append(time.perf_counter() - started)
        return seconds

"""Runs a SavedModel in TensorFlow's C++ runtime, as a server does, through the C interface.

The process must not import TensorFlow's Python package, which would load the same library a second time.
"""

import ctypes
import importlib.util
import math
import pathlib
import time

import numpy as np

_DTYPES = {1: np.dtype(np.float32), 9: np.dtype(np.int64)}  # TF_FLOAT and TF_INT64 of tensorflow/c/tf_datatype.h.
_STRING, _STRING_BYTES = 7, 24  # TF_STRING, and the size of a TF_TString of tensorflow/c/tf_tstring.h.
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_POINTER, _TEXT, _INT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
# Name -> types of result and arguments, as in tensorflow/c/c_api.h.
_FUNCTIONS = {
    "TF_Version": (_TEXT, []),
    "TF_NewStatus": (_POINTER, []),
    "TF_GetCode": (_INT, [_POINTER]),
    "TF_Message": (_TEXT, [_POINTER]),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_NewGraph": (_POINTER, []),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [_POINTER, _POINTER, _TEXT, ctypes.POINTER(_TEXT), _INT, _POINTER, _POINTER, _POINTER],
    ),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, _TEXT]),
    "TF_OperationNumOutputs": (_INT, [_POINTER]),
    "TF_AllocateTensor": (_POINTER, [_INT, ctypes.POINTER(ctypes.c_int64), _INT, _SIZE]),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_TensorByteSize": (_SIZE, [_POINTER]),
    "TF_TensorType": (_INT, [_POINTER]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (_SIZE, [_POINTER]),
    "TF_NumDims": (_INT, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, _INT]),
    "TF_SessionRun": (
        None,
        [_POINTER, _POINTER, *[_POINTER, ctypes.POINTER(_POINTER), _INT] * 2, _POINTER, _INT, _POINTER, _POINTER],
    ),
}


class _Output(ctypes.Structure):
    _fields_ = (("operation", _POINTER), ("index", _INT))


def load_library(directory=None):
    """Returns TensorFlow's C library from a directory, or the installed one, with XLA switched off as in the server."""
    if directory is None:
        (directory,) = importlib.util.find_spec("tensorflow").submodule_search_locations
    # Symbols are loaded locally: the libraries contain an OpenSSL that would otherwise replace Python's.
    _, library = (
        ctypes.CDLL(str(path))
        for name in ("framework", "cc")
        for path in pathlib.Path(directory).glob(f"libtensorflow_{name}.*")
    )
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    # tensorflow::DisableXlaCompilation()
    disable_xla = library._ZN10tensorflow21DisableXlaCompilationEv
    disable_xla.restype, disable_xla.argtypes = None, []
    disable_xla()
    return library


class Model:
    """A SavedModel in its own session, which threads may share.

    Args:
        library: what `load_library` returns.
        directory: directory of the SavedModel.
    """

    def __init__(self, library, directory):
        self.library = library
        self.graph = library.TF_NewGraph()
        options = library.TF_NewSessionOptions()
        arguments = options, None, str(directory).encode(), (_TEXT * 1)(b"serve"), 1, self.graph, None
        try:
            self.session = self._checked(library.TF_LoadSessionFromSavedModel, *arguments)
        finally:
            library.TF_DeleteSessionOptions(options)

    def function(self, inputs, outputs):
        """Returns a function from a list of input arrays to a list of output arrays.

        Args:
            inputs: names of the input tensors, such as "generate_seed:0".
            outputs: names of the output tensors.
        """
        feeds, fetches = ((_Output * len(names))(*map(self._output, names)) for names in (inputs, outputs))

        def answer(arrays):
            given, results = (_POINTER * len(inputs))(), (_POINTER * len(outputs))()
            arguments = self.session, None, feeds, given, len(inputs), fetches, results, len(outputs), None, 0, None
            try:
                for i, array in enumerate(arrays):
                    given[i] = self._tensor(array)
                self._checked(self.library.TF_SessionRun, *arguments)
                return [self._array(tensor) for tensor in results]
            finally:
                for tensor in (*given, *results):
                    self.library.TF_DeleteTensor(tensor)

        return answer

    def _checked(self, function, *arguments):
        """Calls a function whose last argument is a status; returns its result, or raises the error in the status."""
        status = self.library.TF_NewStatus()
        try:
            result = function(*arguments, status)
            if self.library.TF_GetCode(status):
                raise RuntimeError(
                    f"TensorFlow's C library: {self.library.TF_Message(status).decode(errors='replace')}"
                )
            return result
        finally:
            self.library.TF_DeleteStatus(status)

    def _output(self, name):
        operation, _, index = name.rpartition(":")
        found = self.library.TF_GraphOperationByName(self.graph, operation.encode())
        if found is None or int(index) >= self.library.TF_OperationNumOutputs(found):
            raise RuntimeError(f"TensorFlow's C library: the model has no tensor {name!r}")
        return _Output(found, int(index))

    def _tensor(self, array):
        array = np.ascontiguousarray(array)
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.library.TF_AllocateTensor(_CODES[array.dtype], dims, array.ndim, array.nbytes)
        if tensor is None:
            raise MemoryError(f"TensorFlow's C library: no memory for an array of shape {array.shape}")
        ctypes.memmove(self.library.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def _array(self, tensor):
        shape = [self.library.TF_Dim(tensor, i) for i in range(self.library.TF_NumDims(tensor))]
        if self.library.TF_TensorType(tensor) == _STRING:
            first = self.library.TF_TensorData(tensor)
            strings = (first + _STRING_BYTES * i for i in range(math.prod(shape)))
            library = self.library
            found = [ctypes.string_at(library.TF_StringGetDataPointer(s), library.TF_StringGetSize(s)) for s in strings]
            return np.array(found, "S").reshape(shape)  # NumPy drops zeros at the end, where a PNG file has none.
        content = ctypes.string_at(self.library.TF_TensorData(tensor), self.library.TF_TensorByteSize(tensor))
        return np.frombuffer(content, _DTYPES[self.library.TF_TensorType(tensor)]).reshape(shape)


class Inference:
    """One signature of a SavedModel.

    Args:
        directory: directory of the SavedModel.
        tensors: `(name of the input tensor, name of the output tensor)`.
        input_dim: length of a row of the input, or None for a vector of int64 seeds.
    """

    def __init__(self, directory, tensors, input_dim):
        self.input_dim = input_dim
        given, wanted = tensors
        self.function = Model(load_library(), directory).function([given], [wanted])
        self.description = {"threads": 0}

    def answer(self, x):
        """Returns the output for a batch, `(batch, 784)` float32."""
        (images,) = self.function([x])
        return images

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

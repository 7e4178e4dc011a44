"""The matrix products of a training step alone, in several ways: the fastest bounds the speed at these sizes."""

import numpy as np

from benchmarks.workloads import sized


class Trainer:
    """Computes the matrix products of training steps instead of training; see `Workload.matrix_products`.

    Args:
        images: not used.
        way: key of `WAYS`.
        precision: "float32" or, except in NumPy, "mixed_bfloat16".
        workload, **size: see `workloads.sized`.
    """

    def __init__(self, images, workload, way, precision="float32", **size):
        self.workload = sized(workload, **size)
        self.compute, threads = WAYS[way](self.workload.matrix_products(), precision)
        self.description = {"unit": 20, "threads": threads}

    def train(self, steps):
        """Computes the products of `steps` training steps; returns the number of images."""
        self.compute(steps)
        return steps * self.workload.config.batch_size


def matrices(products, convert=np.asarray):
    """Returns three lists for the products: the stored left and right operands, and arrays for the results.

    Operands of "weights" and "inputs" are stored as in training: the left and the right one transposed. Within a list,
    matrices of one shape are one array, so that they stay in the cache as far as possible.

    Args:
        products: what `Workload.matrix_products` returns.
        convert: function from a NumPy array to a framework's.
    """
    shapes = [
        ((k, m) if kind == "weights" else (m, k), (n, k) if kind == "inputs" else (k, n), (m, n))
        for kind, m, k, n in products
    ]
    rng, lists = np.random.default_rng(0), []
    for side in zip(*shapes, strict=True):
        arrays = {shape: convert(rng.random(shape, np.float32)) for shape in dict.fromkeys(side)}
        lists.append([arrays[shape] for shape in side])
    return lists


def _tensorflow(products, precision):
    """One graph a step, called from Python."""
    import tensorflow as tf

    lefts, rights, _ = matrices(products, _tensors(precision))

    # Operands are arguments, so that TensorFlow does not compute products in advance.
    @tf.function
    def step(lefts, rights):
        results = []
        for (kind, *_), left, right in zip(products, lefts, rights, strict=True):
            # One product after the other, each with all threads. So equal ones are not merged either.
            with tf.control_dependencies(results[-1:]):
                results.append(tf.matmul(left, right, transpose_a=kind == "weights", transpose_b=kind == "inputs"))
        return results

    def compute(steps):
        for _ in range(steps):
            results = step(lefts, rights)
        results[-1].numpy()
        return results

    return compute, tf.config.threading.get_intra_op_parallelism_threads()


def _xla(products, precision):
    """All steps in one program that XLA compiles.

    An element of each result becomes one of the next left operand, also from step to step, so that no product can be
    moved out of the loop. The loop returns the results, so that each is computed whole.
    """
    import tensorflow as tf

    lefts, rights, results = matrices(products, _tensors(precision))
    shapes = [tuple(left.shape) for left in lefts]

    def step(i, lefts, _):
        lefts, results = dict(lefts), []
        for (kind, *_), shape, right, following in zip(products, shapes, rights, shapes[1:] + shapes[:1], strict=True):
            results.append(tf.matmul(lefts[shape], right, transpose_a=kind == "weights", transpose_b=kind == "inputs"))
            element = results[-1][0, 0]
            lefts[following] = tf.tensor_scatter_nd_update(lefts[following], [[0, 0]], [element])
        return i + 1, lefts, results

    @tf.function(jit_compile=True)
    def loop(steps, lefts, results):
        return tf.while_loop(lambda i, *_: i < steps, step, (0, lefts, results))[2]

    def compute(steps):
        results[:] = loop(tf.constant(steps), dict(zip(shapes, lefts, strict=True)), results)
        results[-1].numpy()
        return results

    return compute, tf.config.threading.get_intra_op_parallelism_threads()


def _tensors(precision):
    """Returns a function from a NumPy array to a tensor of TensorFlow."""
    import tensorflow as tf

    dtype = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}[precision]
    return lambda array: tf.cast(array, dtype)


def _numpy(products, precision):
    """NumPy's BLAS."""
    dtype = {"float32": np.float32}[precision]
    return _into_results(products, lambda array: array.astype(dtype), np.matmul), 0


def _torch(products, precision):
    """PyTorch, eager."""
    import torch

    dtype = {"float32": torch.float32, "mixed_bfloat16": torch.bfloat16}[precision]
    compute = _into_results(products, lambda array: torch.from_numpy(array).to(dtype), torch.mm)
    return compute, torch.get_num_threads()


def _into_results(products, convert, multiply):
    """Returns a function that computes the products of steps into arrays in place."""
    lefts, rights, results = matrices(products, convert)
    lefts = [left.T if kind == "weights" else left for left, (kind, *_) in zip(lefts, products, strict=True)]
    rights = [right.T if kind == "inputs" else right for right, (kind, *_) in zip(rights, products, strict=True)]

    def compute(steps):
        for _ in range(steps):
            for left, right, result in zip(lefts, rights, results, strict=True):
                multiply(left, right, out=result)
        return results

    return compute


WAYS = {"tensorflow": _tensorflow, "xla": _xla, "numpy": _numpy, "torch": _torch}

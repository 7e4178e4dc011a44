"""The matrix products of a training step alone, in TensorFlow: a bound on the speed at these sizes."""

import tensorflow as tf

from benchmarks.workloads import sized


class Trainer:
    """Computes the matrix products of training steps instead of training; see `Workload.matrix_products`.

    Args:
        images: not used.
        precision: "float32" or "mixed_bfloat16".
        workload, **size: see `workloads.sized`.
    """

    def __init__(self, images, workload, precision="float32", **size):
        self.workload = sized(workload, **size)
        dtype = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}[precision]
        # Operands are arguments and differ, so that TensorFlow neither precomputes nor merges products.
        self.operands = []
        for kind, m, k, n in self.workload.matrix_products():
            left, right = ((k, m) if kind == "weights" else (m, k)), ((n, k) if kind == "inputs" else (k, n))
            self.operands += [tf.cast(tf.random.normal(shape), dtype) for shape in (left, right)]
        self.step = tf.function(self._step)
        self.description = {"unit": 20, "threads": tf.config.threading.get_intra_op_parallelism_threads()}

    def _step(self, *operands):
        results = []
        for i, (kind, *_) in enumerate(self.workload.matrix_products()):
            # One product after the other, each with all threads.
            with tf.control_dependencies(results[-1:]):
                left, right = operands[2 * i : 2 * i + 2]
                results.append(tf.matmul(left, right, transpose_a=kind == "weights", transpose_b=kind == "inputs"))
        return results

    def train(self, steps):
        """Computes the products of `steps` training steps; returns the number of images."""
        for _ in range(steps):
            results = self.step(*self.operands)
        results[-1].numpy()
        return steps * self.workload.config.batch_size

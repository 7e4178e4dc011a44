"""Nothing but the matrix products of a training step, by TensorFlow: how fast this machine can be at these sizes."""

import tensorflow as tf

from benchmarks.families import sized


class Trainer:
    """Takes as long for `train(steps)` as the products of as many steps; see `Family.products`.

    Args:
        images: not needed.
        precision: "float32" or "mixed_bfloat16".
        family, **size: see `families.sized`.
    """

    def __init__(self, images, family, precision="float32", **size):
        self.family = sized(family, **size)
        dtype = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}[precision]
        # Arguments, each of its own, so that no product is computed beforehand or taken for another.
        self.operands = []
        for kind, m, k, n in self.family.products():
            left, right = ((k, m) if kind == "weights" else (m, k)), ((n, k) if kind == "inputs" else (k, n))
            self.operands += [tf.cast(tf.random.normal(shape), dtype) for shape in (left, right)]
        self.step = tf.function(self._step)
        self.description = {"unit": 20, "threads": tf.config.threading.get_intra_op_parallelism_threads()}

    def _step(self, *operands):
        results = []
        for i, (kind, *_) in enumerate(self.family.products()):
            # In turn, each with all threads.
            with tf.control_dependencies(results[-1:]):
                left, right = operands[2 * i : 2 * i + 2]
                results.append(tf.matmul(left, right, transpose_a=kind == "weights", transpose_b=kind == "inputs"))
        return results

    def train(self, steps):
        """Computes the products of `steps` training steps; returns of how many images."""
        for _ in range(steps):
            results = self.step(*self.operands)
        results[-1].numpy()
        return steps * self.family.config.batch_size

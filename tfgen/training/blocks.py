"""Whole blocks of training steps as one compiled program, under `keras.Model.fit`."""

import tensorflow as tf

from tfgen.training.checkpoint import build_optimizers


class TrainFunction:
    """What `fit` calls instead of Keras's own function: each call takes `steps_per_execution` training steps.

    Keras's function reads a batch for each step from its iterator, which XLA cannot compile. Here the iterator gives
    the rows of a whole block, and one program does the rest: it takes each step's rows, prepares them, and calls the
    model's own `train_step`. Set it as `model.train_function`, and pass `data.batches.blocks` to `fit`.

    Args:
        model: the compiled model. Its `jit_compile` says whether XLA compiles the program.
        prepare: function from a batch's number and its rows to what `train_step` takes. Neither may branch on a tensor
            by Python's `if`: `tf.where` and `tf.cond` do.
    """

    def __init__(self, model, prepare):
        self.model = model
        self.prepare = prepare
        build_optimizers(model)  # No variable can be made inside a loop.
        # Autograph would rewrite every function on the way, which nearly doubles the time to the first step.
        self._block = tf.function(self._steps, jit_compile=model.jit_compile, reduce_retracing=True, autograph=False)

    def __call__(self, iterator):
        """Returns the logs after the block that the iterator gives next."""
        return self._block(*next(iterator))

    def _steps(self, first_step, rows):
        def step(i):
            batch = self.prepare(first_step + tf.cast(i, tf.int64), *(row[i] for row in rows))
            self.model.train_step(batch)
            return (i + 1,)

        count = rows[0].shape[0]
        tf.while_loop(lambda i: i < count, step, (tf.constant(0),), parallel_iterations=1)
        return self.model.get_metrics_result()


def use_blocks(model, batches):
    """Lets `fit` train a compiled model in blocks of batches; keeps the program that an equal preparation has."""
    if getattr(model.train_function, "prepare", None) != batches.prepare:
        model.train_function = TrainFunction(model, batches.prepare)

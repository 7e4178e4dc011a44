"""Steps of training that several replicas take together: what is trained does not depend on their number."""

import functools

import keras
import tensorflow as tf

from tfgen.data.batches import PartlyLabelledBatches
from tfgen.distributions import rows_of
from tfgen.errors import InputError
from tfgen.training.checkpoint import build_optimizers, optimizers_of
from tfgen.training.workers import together


def share(rows, number, replicas):
    """Returns the first row of a batch that a replica takes and how many it takes: as even as can be."""
    first, last = rows * number // replicas, rows * (number + 1) // replicas
    return first, last - first


class ReplicaFunction:
    """What `fit` calls instead of `blocks.TrainFunction`: the same steps, each of them taken by a strategy's replicas.

    The replicas have a copy of the model, made in the strategy's scope. Each call begins with the model's weights and
    the state of its optimizers, and brings them back: all else about the model is as it is without a strategy.

    What a step minimises is a mean over the batch's rows. A replica takes some of them, draws what is theirs in the
    whole batch, and weighs its gradients by its share of the rows; the optimizer adds them up.

    Args:
        model: the compiled model, made outside of the strategy's scope.
        batches: what it is trained on.
        strategy: the `tf.distribute.Strategy`.

    Raises:
        InputError: if the batches cannot be split, or have fewer rows than there are replicas.
    """

    def __init__(self, model, batches, strategy):
        if isinstance(batches, PartlyLabelledBatches):
            raise InputError("batches of images with labels and without are not split: leave out --strategy")
        self.model = model
        self.prepare = batches.prepare
        self.strategy = strategy
        # A GAN's batch is that of several steps of the discriminator: each of them is split by itself.
        self.minibatches = getattr(model, "discriminator_steps", 1)
        self.rows = batches.batch_size // self.minibatches
        replicas = strategy.num_replicas_in_sync
        if self.rows < replicas:
            raise InputError(f"{self.rows} rows cannot be split among {replicas} replicas: set a larger batch_size")
        self.shares = [share(self.rows, number, replicas) for number in range(replicas)]
        build_optimizers(model)
        with together(strategy), strategy.scope():
            self.replica = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
            build_optimizers(self.replica)
        for optimizer in optimizers_of(self.replica):
            optimizer.apply = functools.partial(self._apply, optimizer.apply)
        self._block = tf.function(self._steps, reduce_retracing=True, autograph=False)

    def __call__(self, iterator):
        """Returns the logs after the block that the iterator gives next."""
        first_step, rows = next(iterator)
        if not all(getattr(metric, "built", True) for metric in self.model.metrics):
            # Keras makes the variables of metrics that are given to `compile` with a first batch, and in no loop.
            batch = self.prepare(first_step, *(row[0] for row in rows))
            self.model._symbolic_build(data_batch=batch)
            with together(self.strategy), self.strategy.scope():
                self.replica._symbolic_build(data_batch=batch)
        with together(self.strategy):
            return self._block(first_step, rows)

    def _steps(self, first_step, rows):
        for mine, copied in zip(_state(self.model), _state(self.replica), strict=True):
            copied.assign(mine)

        def step(i):
            arguments = (first_step + tf.cast(i, tf.int64), *(row[i] for row in rows))
            self.strategy.run(self._take_part, args=arguments)
            return (i + 1,)

        count = rows[0].shape[0]
        tf.while_loop(lambda i: i < count, step, (tf.constant(0),), parallel_iterations=1)
        for mine, copied in zip(_state(self.model), _state(self.replica), strict=True):
            mine.assign(copied)
        for mine, copied in zip(self.model.metrics_variables, self.replica.metrics_variables, strict=True):
            mine.assign_add(copied)  # Of all replicas, the sum.
            copied.assign(tf.zeros_like(mine))
        return self.model.get_metrics_result()

    def _take_part(self, step, *rows):
        """Takes a replica's part of one step, in its context."""
        first, count = self._share()
        parts = []
        for begin in range(first, self.rows * self.minibatches, self.rows):
            with rows_of(begin, rows[0].shape[0]):
                parts.append(self.prepare(step, *(row[begin : begin + count] for row in rows)))
        batch = keras.tree.map_structure(lambda *each: tf.concat(each, axis=0), *parts)
        with rows_of(first, self.rows):
            self.replica.train_step(batch)

    def _apply(self, apply, gradients, variables):
        """Calls an optimizer's `apply`, which adds up the gradients of all replicas."""
        weight = self._weight()
        apply([weight * gradient for gradient in gradients], variables)

    def _weight(self):
        weight = self._share()[1] / self.rows
        # Keras's own step has divided its loss by the number of replicas.
        keras_divides = type(self.model).train_step is keras.Model.train_step
        return weight * self.strategy.num_replicas_in_sync if keras_divides else weight

    def _share(self):
        number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
        return self.shares[int(number)]


def _state(model):
    """Returns the variables of a model and of its optimizers, but for those of metrics."""
    return [*model.weights, *(variable for optimizer in optimizers_of(model) for variable in optimizer.variables)]


def use_replicas(model, batches, strategy):
    """Lets `fit` train a compiled model by a strategy's replicas; see `ReplicaFunction`."""
    model.train_function = ReplicaFunction(model, batches, strategy)

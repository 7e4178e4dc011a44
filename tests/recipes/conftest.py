"""A fixture of the recipes' tests: experiments that train nothing, to see what their trainings are given."""

import collections
import dataclasses
import inspect

import numpy as np
import pytest


class Trained(BaseException):
    """Ends an experiment after its first training."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A call of `Run.fit`: the model, a copy of the weights that it began with, and the other arguments."""

    model: object
    initial: list
    batches: object
    validation: object
    name: str
    epochs: int | None
    callbacks: tuple


@pytest.fixture(scope="session")
def untrained(digits, tmp_path_factory):
    """Function from a recipe to its experiment on the digits, whose trainings move every weight by 1/8192 and no more.

    Args:
        name: of the recipe, whose smoke preset is taken.
        first_only: whether the experiment is to end after its first training.
        seed: of the run.
        **changed: fields of the configuration.

    Returns:
        A `Run` with `fitted`, a list of `Fitted`; `samples`, the images that were to be measured, by the suffix of
        their metrics; `exported`, the endpoints. Nothing is drawn.
    """
    from tfgen import figures
    from tfgen.recipes import MODULES, RECIPES
    from tfgen.training import gan, samples
    from tfgen.training.run import Run

    moved = np.float32(1 / 8192)

    class Untrained(Run):
        def fit(self, model, batches, validation, name="model", epochs=None, callbacks=()):
            assert self._seeded_for == name
            initial = [np.copy(weight) for weight in model.get_weights()]
            self.fitted.append(Fitted(model, initial, batches, validation, name, epochs, tuple(callbacks)))
            if self.first_only:
                raise Trained
            model.set_weights([weight + moved for weight in initial])
            if hasattr(model, "generator_optimizer"):
                variables = model.generator_optimizer.variables
                averages = [variable for variable in variables if variable.name.endswith("_average")]
                for average, weight in zip(averages, model.generator.trainable_variables, strict=bool(averages)):
                    average.assign(weight + moved)
            for epoch in range(epochs or self.config.epochs):
                for callback in callbacks:
                    callback.on_epoch_end(epoch, {})
            return collections.defaultdict(lambda: [0.0])

        def figure(self, name, figure):
            pass

        def figure_file(self, name, content):
            pass

        def export(self, endpoints):
            self.exported = endpoints

    def experiment(name, first_only=False, seed=0, **changed):
        directory = tmp_path_factory.mktemp("untrained") / name
        config = RECIPES[name].presets["smoke"].replace(**changed)
        run = Untrained(RECIPES[name], config, digits, directory, "smoke", seed)
        run.fitted, run.samples, run.exported, run.first_only = [], {}, None, first_only

        def measure_samples(run, classifier, images, suffix=""):
            run.samples[suffix] = images
            return np.full(10, 0.1)

        with pytest.MonkeyPatch.context() as patch:
            for figure, _ in inspect.getmembers(figures, inspect.isfunction):
                if figure not in ("finding", "noise_of_shares"):
                    patch.setattr(figures, figure, lambda *args, **kwargs: None)
            patch.setattr(samples, "ReferenceClassifier", lambda directory: None)
            patch.setattr(gan, "measure_samples", measure_samples)
            patch.setattr(gan, "measure_baselines", lambda *args: None)
            if first_only:
                with pytest.raises(Trained):
                    MODULES[name].experiment(run)
            else:
                MODULES[name].experiment(run)
        return run

    return experiment

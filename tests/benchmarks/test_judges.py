"""The measures of a judge, and how far several differ."""

import dataclasses

import numpy as np
import pytest

from benchmarks import judges


def test_deviations_are_relative_to_the_mean():
    """Of 8 and 12 the mean is 10 and the deviation the root of 8."""
    assert judges.deviations([{"a": 8.0}, {"a": 12.0}]) == {"a": (10, pytest.approx(8**0.5 / 10))}


def test_the_test_images_themselves_are_told_by_a_judge_from_others(digits, monkeypatch):
    class Judge:
        """Sees eight blocks of an image, and thirds of their sum as classes."""

        def features(self, images):
            return images.reshape(len(images), 8, -1).mean(axis=2)

        def probabilities(self, images):
            thirds = np.digitize(images.mean(axis=1), np.quantile(images.mean(axis=1), [1 / 3, 2 / 3]))
            return np.eye(3)[thirds]

    monkeypatch.setattr(judges, "NUM_NEIGHBOURS", 100)
    data = dataclasses.replace(digits, validation=digits.test)
    own = judges.judged(Judge(), digits.test.images / np.float32(255), data)
    other = judges.judged(Judge(), 1 - digits.test.images / np.float32(255), data)
    assert own["frechet_distance"] == pytest.approx(0, abs=1e-4)
    assert own["frechet_distance__validation_images"] == pytest.approx(0, abs=1e-4)
    assert own["sample_precision"] == own["sample_recall"] == 1
    assert own["classifier_score"] == pytest.approx(3, rel=0.01)
    assert own["rarest_class_share"] == pytest.approx(1 / 3, abs=0.01)
    assert other["frechet_distance"] > 0.1 and other["sample_precision"] == 0

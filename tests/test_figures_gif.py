"""The film of samples and the other pictures of part D."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
from PIL import Image
from tfgen.lecture import part_d

from tfgen import datasets, experiment, figures
from tfgen.recipes import RECIPES


def grey(epochs):
    """One shade an epoch, from dark to light."""
    return {epoch: np.full((24, 784), i / len(epochs)) for i, epoch in enumerate(epochs)}


def test_a_film_shows_every_epoch_in_order_and_stays_on_the_last():
    snapshots = grey([1, 2, 5, 9])
    film = Image.open(io.BytesIO(figures.gif(figures.frames_through_training(snapshots), 100, 900)))
    assert (film.format, film.n_frames, film.info["loop"]) == ("GIF", 4, 0)
    shades, durations = [], []
    for i in range(film.n_frames):
        film.seek(i)
        picture = np.asarray(film.convert("L"))
        # The middle of the first image, which the margins leave in the first sixth and quarter.
        shades.append(picture[picture.shape[0] // 4, picture.shape[1] // 12] / 255)
        durations.append(film.info["duration"])
    np.testing.assert_allclose(shades, [0, 0.25, 0.5, 0.75], atol=0.01)
    assert durations == [100, 100, 100, 900]


def test_a_film_of_one_epoch_is_a_picture():
    film = Image.open(io.BytesIO(figures.gif(figures.frames_through_training(grey([1])))))
    assert film.format == "GIF" and film.n_frames == 1


def test_frames_name_their_epochs():
    frames = figures.frames_through_training(grey([1, 30]))
    assert [frame.axes[0].get_title() for frame in frames] == ["epoch 1", "epoch 30"]


@pytest.mark.parametrize("epochs", [1, 2, 7, 150, 2000])
def test_the_film_has_the_strip_s_epochs_and_enough_between(epochs):
    film = part_d.animation_epochs(epochs)
    assert film == sorted(set(film)) and film[-1] == epochs
    assert set(part_d.snapshot_epochs(epochs)) <= set(film)
    assert len(film) >= min(epochs, 25)
    # No leap is longer than to half as many epochs again, but for the first few whole numbers.
    assert all(b <= max(1.5 * a, a + 1) for a, b in itertools.pairwise(film))


def test_only_the_run_s_own_epochs_are_read(tmp_path):
    for epoch in (1, 2, 3):
        part_d.write_snapshot(tmp_path, epoch, images=np.full(4, epoch), other=np.arange(2))
    found = part_d.read_snapshots(tmp_path, [1, 3])
    assert {epoch: arrays["images"].tolist() for epoch, arrays in found.items()} == {1: [1] * 4, 3: [3] * 4}
    with pytest.raises(FileNotFoundError):
        part_d.read_snapshots(tmp_path, [1, 4])


# Keras's CSVLogger leaves its file open where training ends by an exception.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_and_resumed_run_ends_with_the_same_film(tmp_path, monkeypatch):
    data = datasets.digits()
    # What judges the samples is no matter of their pictures.
    monkeypatch.setattr(part_d, "measure_samples", lambda *arguments: np.full(10, 0.1))
    monkeypatch.setattr(part_d, "measure_baselines", lambda *arguments: None)
    monkeypatch.setattr(experiment.Run, "needed", lambda self, name, load: None)
    monkeypatch.setitem(RECIPES, "gan", dataclasses.replace(RECIPES["gan"], needs=()))
    whole = experiment.run("gan", data, "smoke", tmp_path / "whole", epochs=2)
    written = part_d.write_snapshot

    def killed_in_the_second_epoch(directory, epoch, **arrays):
        written(directory, epoch, **arrays)
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(part_d, "write_snapshot", killed_in_the_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            experiment.run("gan", data, "smoke", tmp_path / "parts", epochs=2)
    resumed = experiment.run("gan", data, "smoke", tmp_path / "parts", epochs=2, resume=True)
    assert resumed["figures"] == whole["figures"]
    for name in ("samples_through_training.gif", "samples_through_training.png"):
        assert f"figures/{name}" in whole["figures"]
        films = [(tmp_path / part / "gan" / "figures" / name).read_bytes() for part in ("whole", "parts")]
        assert films[0] == films[1]
    with Image.open(tmp_path / "whole" / "gan" / "figures" / "samples_through_training.gif") as film:
        assert film.n_frames == 2


def test_panels_of_images_stand_beside_each_other_under_their_names():
    figure = figures.panels_of_images({"dark": np.zeros((4, 784)), "light": np.ones((4, 784))}, 2, "")
    assert [axes.get_title() for axes in figure.axes] == ["dark", "light"]
    assert [axes.images[0].get_array()[14, 14] for axes in figure.axes] == [0, 1]


def test_outputs_of_the_discriminators_share_one_scale():
    histories = {"a": {"D(x)": [0.6, 0.7], "D(G(z))": [0.4, 0.3]}, "b": {"D(x)": [0.9], "D(G(z))": [0.1]}}
    left, right = figures.discriminator_outputs(histories, "").axes
    np.testing.assert_array_equal(left.lines[1].get_xydata(), [[1, 0.4], [2, 0.3]])
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] > 1 > 0 > left.get_ylim()[0]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["D(x)", "D(G(z))"]


def test_gradients_are_drawn_by_their_size():
    d = np.array([0.1, 0.5])
    figure = figures.generator_gradients(d, {"minimax": -d}, [0.3, 0.2], np.array([0.4, 0.2]), {"minimax": [2.0, 1.0]})
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[0.1, 0.1], [0.5, 0.5]])
    (span,) = left.patches
    assert (span.get_x(), span.get_width()) == pytest.approx((0.2, 0.1))
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[0, 2], [1, 1]])
    np.testing.assert_array_equal(right.lines[1].get_ydata(), [0.4, 0.2])


def test_stages_show_densities_above_and_the_generator_s_map_below():
    x, z = np.linspace(0, 1, 5), np.array([-1.0, 1.0])
    data = np.array([0.0, 1.0, 2.0, 1.0, 0.0])
    stage = {
        "model_density": data[::-1] * [0, 0, 1, 2, 1],
        "discriminator": np.full(5, 0.5),
        "optimal_discriminator": np.linspace(0, 1, 5),
        "generated": np.array([0.2, 0.8]),
    }
    figure = figures.adversarial_stages(x, data, {"first": stage, "last": stage}, z, "")
    upper, lower = figure.axes[0], figure.axes[2]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["first", "last"]
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), data)
    np.testing.assert_array_equal(lower.lines[1].get_xydata(), [[0.8, 0], [0.8, 1]])  # z = 1 of [-1, 1]
    # No verdict is drawn where neither density is.
    drawn = figure.axes[4].lines[1].get_ydata()
    np.testing.assert_array_equal(np.isnan(drawn), [True, False, False, False, True])

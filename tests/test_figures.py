"""Pictures: pixels where they belong, and files that are PNGs."""

import io

import numpy as np
from matplotlib import image as mpl_image

from tfgen import figures


def test_tile_lays_images_out_row_by_row():
    images = np.arange(5)[:, None] / 10 * np.ones((5, 784))
    tiled = figures.tile(images, columns=3)
    assert tiled.shape == (2 * 29 - 1, 3 * 29 - 1)
    centres = tiled[14::29, 14::29]
    np.testing.assert_allclose(centres, [[0, 0.1, 0.2], [0.3, 0.4, 1.0]])
    assert np.all(tiled[28] == 1) and np.all(tiled[:, 28] == 1)


def test_tile_keeps_each_image_upright():
    image = np.zeros((28, 28))
    image[2, 5] = 0.5
    assert figures.tile(image.reshape(1, 784), 1)[2, 5] == 0.5


def test_reconstructions_stand_below_their_originals():
    originals, reconstructed = np.zeros((3, 784)), np.ones((3, 784))
    shown = figures.reconstructions(originals, reconstructed, "").axes[0].images[0].get_array()
    assert np.all(shown[14, 14::29] == 0) and np.all(shown[14 + 29, 14::29] == 1)


def test_features_are_columns_each_on_a_scale_that_one_large_weight_does_not_set():
    weights = np.zeros((784, 3))
    weights[:, 0] = -2
    weights[5, 0], weights[6, 0] = 100, 1
    weights[:, 1] = 0.01
    weights[29, 1] = -0.01  # the second row of pixels, second column
    axes, bar = figures.features({"a": weights}, "").axes
    shown = axes.images[0]
    assert shown.get_array()[0, :8].tolist() == [-1, -1, -1, -1, -1, 50, 0.5, -1]
    second = shown.get_array()[:28, 29:]
    assert second[1, 1] == -1 and np.sum(second == 1) == 783
    assert np.all(shown.get_array()[29:, :28] == 0)  # a unit without weights, below the first
    assert shown.get_clim() == (-1, 1)
    np.testing.assert_allclose(shown.cmap(0.5)[:3], 1, atol=0.05)
    assert "90th percentile" in bar.get_ylabel()


def test_curves_draw_every_value_over_epochs_from_one():
    figure = figures.curves({"a": [3.0, 2.0], "b": [5.0, 4.0]}, [("A", "nats", ["a"]), ("Both", "nats", ["a", "b"])])
    assert [len(axes.lines) for axes in figure.axes] == [1, 2]
    np.testing.assert_array_equal(figure.axes[1].lines[1].get_xydata(), [[1, 5], [2, 4]])
    assert figure.axes[0].get_ylabel() == "nats"


def test_snapshots_stand_in_the_order_of_training():
    figure = figures.through_training({1: np.zeros((9, 784)), 20: np.ones((9, 784))}, "")
    assert [axes.get_title() for axes in figure.axes] == ["epoch 1", "epoch 20"]
    assert figure.axes[1].images[0].get_array().min() == 1


def test_class_shares_are_shown_in_per_cent():
    heights = [bar.get_height() for bar in figures.class_shares([0.25, 0.75], "").axes[0].patches]
    assert heights == [25, 75]


def test_scatter_puts_each_class_into_its_colour_in_every_panel():
    labels = np.array([3, 0, 3])
    first, second = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.zeros((3, 2))
    figure = figures.scatter({"first": first, "second": second}, labels)
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    zeros, threes = figure.axes[0].collections
    np.testing.assert_array_equal(zeros.get_offsets(), [[2, 3]])
    np.testing.assert_array_equal(threes.get_offsets(), [[0, 1], [4, 5]])
    colors = [[points.get_facecolor()[0, :3].tolist() for points in axes.collections] for axes in figure.axes]
    assert colors[0] == colors[1] and colors[0][0] != colors[0][1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["0", "3"]
    assert [handle.get_facecolor()[0, :3].tolist() for handle in legend.legend_handles] == colors[0]


def test_png_is_a_picture_of_the_figure():
    dark = mpl_image.imread(io.BytesIO(figures.png(figures.image_grid(np.zeros((4, 784)), 2))))
    light = mpl_image.imread(io.BytesIO(figures.png(figures.image_grid(np.ones((4, 784)), 2))))
    assert dark.shape == light.shape and dark.shape[2] == 4
    assert dark[..., :3].mean() < 0.5 < light[..., :3].mean()


def test_tables_have_x_down_and_y_across():
    cells = {(1, "a"): 0.5, (1, "b"): 0, (2, "a"): None, (2, "b"): 0.25}
    figure = figures.probability_tables([("left", cells), ("right", cells)], "")
    assert [axes.get_title() for axes in figure.axes] == ["left", "right"]
    (table,) = figure.axes[1].tables
    shown = [[table[row, column].get_text().get_text() for column in range(2)] for row in range(3)]
    assert shown == [["y = a", "y = b"], ["0.5", "0"], ["None", "0.25"]]
    assert [table[row, -1].get_text().get_text() for row in (1, 2)] == ["x = 1", "x = 2"]


def test_boundaries_run_where_scores_and_densities_cross():
    grid = np.linspace(-2, 2, 41), np.linspace(-1, 1, 21)
    h, v = np.meshgrid(*grid)
    densities = np.exp(-np.stack([(h + 1) ** 2 + v**2, (h - 0.5) ** 2 + v**2]))
    points, classes = np.array([[-1.0, 0.0], [0.5, 0.0], [0.6, 0.1]]), np.array([0, 1, 1])
    figure = figures.decision_boundaries(points, classes, grid, {"model": v - 0.3}, densities)
    left, right = figure.axes
    drawn = [contours for axes in (left, right) for contours in axes.collections if hasattr(contours, "levels")]
    level = drawn[0].get_paths()[0].vertices
    np.testing.assert_allclose(level[:, 1], 0.3)
    # (h + 1)^2 = (h - 0.5)^2 at h = -1/4; the differences are not linear between grid points.
    middle = drawn[-1].get_paths()[0].vertices
    np.testing.assert_allclose(middle[:, 0], -0.25, atol=0.02)
    assert [len(dots.get_offsets()) for dots in left.collections[:2]] == [1, 2]
    assert {text.get_text() for text in left.get_legend().get_texts()} == {"class 0", "class 1", "model"}


def test_bars_stand_with_their_rows_and_leave_out_what_is_missing():
    figure = figures.grouped_bars({"a": {"one": 3.0, "two": 4.0}, "b": {"one": 5.0}}, "", "%")
    axes = figure.axes[0]
    assert [[bar.get_width() for bar in series] for series in axes.containers] == [[3, 5], [4]]
    assert [text.get_text() for text in axes.texts] == ["3.0", "5.0", "4.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    for row, tick in enumerate(axes.get_yticks()):
        bars = [bar for series in axes.containers for bar in series if round(bar.get_y() + bar.get_height() / 2) == row]
        assert min(bar.get_y() for bar in bars) < tick < max(bar.get_y() for bar in bars) + 0.4


def test_rows_of_images_stand_beside_their_names():
    figure = figures.rows_of_images({"dark": np.zeros((3, 784)), "light": np.ones((3, 784))}, "")
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    assert shown.shape == (2 * 29 - 1, 3 * 29 - 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dark", "light"]
    assert [shown[int(tick), 14] for tick in axes.get_yticks()] == [0, 1]

"""Pictures: pixels and numbers where they belong, and files that are PNGs and GIFs."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib import image as mpl_image
from matplotlib.colors import to_rgba_array
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image

from tfgen import figures


def simulated(colors):
    """Returns colours as CIELAB, `(4, n, 3)`: as seen normally and without red, green or blue cones.

    Source: Machado et al. 2009, "A physiologically-based model for simulation of color vision deficiency", severity 1.
    """
    rgb = to_rgba_array(colors)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrices = [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
    seen = np.clip(linear @ np.swapaxes(matrices, 1, 2), 0, 1)
    xyz = seen @ np.transpose([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.moveaxis(np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 1e-4)), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def least_difference(colors):
    """Returns the least distance (CIE 1976) of two of the colours to any of four kinds of eyes."""
    lab = simulated(colors)
    distances = np.linalg.norm(lab[:, :, None] - lab[:, None], axis=-1)
    return distances[:, ~np.eye(len(colors), dtype=bool)].min()


def test_the_palette_is_told_apart_by_the_colour_blind_and_from_white():
    assert least_difference(figures.PALETTE) > 14
    assert least_difference(matplotlib.color_sequences["tab10"][:7]) < 7  # Matplotlib's own would not do.
    luminance = ((simulated(figures.PALETTE)[0, :, 0] + 16) / 116) ** 3
    assert np.all(1.05 / (luminance + 0.05) >= 3)  # WCAG 2.1, criterion 1.4.11


@pytest.mark.parametrize(
    ("difference", "noise", "title"),
    [(4.26, 2.0, "saves 4.3"), (-4.26, 2.0, "costs 4.3"), (4.26, 2.2, "-"), (-4.26, 2.2, "-"), (4.26, np.nan, "-")],
)
def test_a_title_says_a_finding_with_its_sign_only_beyond_twice_the_noise(difference, noise, title):
    assert figures.finding(difference, noise, "saves {:.1f}", "costs {:.1f}", "-") == title


def test_no_finding_is_without_noise_nor_without_a_difference():
    assert figures.finding(0, 0, "more", "less", "-") == "-"
    assert figures.finding(1e-9, 0, "more", "less", "-") == "more"


def test_the_noise_of_shares_is_the_spread_of_differences_of_draws():
    rng = np.random.default_rng(0)
    draws = rng.binomial(500, [0.1, 0.3], (20_000, 2)) / 500
    spread = np.std(draws[:, 0] - draws[:, 1])
    # A standard deviation from n draws has a standard error of 1 / sqrt(2 n) of itself: 0.5 %.
    assert figures.noise_of_shares([0.1, 0.3], 500) == pytest.approx(spread, rel=0.02)
    assert figures.noise_of_shares([0.1, 0.3], 550) != pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize(
    "title, lengths",
    [
        ("of these eleven words none is to stand in a line alone", [54]),
        ("of these twelve words none is to stand in a line by itself", [29, 28]),
        ("first line\nsecond line", [10, 11]),
    ],
)
def test_a_long_title_is_broken_into_lines_about_equally_long(title, lengths):
    drawn = figures.image_grid(np.zeros((4, 28, 28)), 2, title).get_suptitle()
    assert drawn.split() == title.split() and list(map(len, drawn.split("\n"))) == lengths


LONG = "a title that is longer than a figure of the common width has room for in one line of its type"
HISTORY = {"loss": [3.0, 2.0], "val_loss": [5.0, 4.0], "a label of about half a hundred letters, like this": [1.0, 2.0]}
ERRORS = {"a method with a long name": ([40, 10], [5, 1]), "b": ([30, 20], [2, 1])}
ROC = (np.array([0, 1]), np.array([0, 1]))
IMAGES = np.zeros((16, 28, 28))
DRAWN = {
    "image_grid": lambda: figures.image_grid(IMAGES, 4, LONG),
    "reconstructions": lambda: figures.reconstructions(IMAGES, IMAGES, LONG),
    "features": lambda: figures.features(dict.fromkeys((LONG, "b", "c"), IMAGES), LONG),
    "panels_of_images": lambda: figures.panels_of_images(dict.fromkeys((LONG, "b", "c"), IMAGES), 4, LONG),
    "rows_of_images": lambda: figures.rows_of_images(dict.fromkeys(("denoising network", "b"), IMAGES[:10]), LONG),
    "rows_under_names": lambda: figures.rows_of_images(
        {f"{'a score of a model ' * 2}{i}": IMAGES for i in "abc"}, LONG
    ),
    "curves": lambda: figures.curves(HISTORY, [(LONG, "nats", [*HISTORY]), ("b", "", ["loss"])], log=True),
    "curves_over": lambda: figures.curves_over({}, {name: [[1.0, 2.0]] for name in "abc"}),
    "class_fractions": lambda: figures.class_fractions([0.5, 0.5], LONG),
    "scatter": lambda: figures.scatter({LONG: np.eye(2), "b": np.eye(2)}, np.arange(2), LONG),
    "grouped_bars": lambda: figures.grouped_bars({"row": {"one": 99.0, "another": 100.0}}, LONG, "%"),
    "discriminator_outputs": lambda: figures.discriminator_outputs({name: {"D(x)": [0.5]} for name in "abc"}, LONG),
    "roc_curves": lambda: figures.roc_curves({f"without {name}": {"error": ROC, "ELBO": ROC} for name in range(10)}),
    "errors_by_count": lambda: figures.errors_by_count(ERRORS, [100, 1000], LONG, "%"),
}


def drawn_texts(figure, monkeypatch):
    """Returns the texts that a figure draws: of the ticks those within the limits."""
    texts = []
    with monkeypatch.context() as patch:
        patch.setattr(
            Text, "draw", lambda text, _: texts.append(text) if text.get_visible() and text.get_text() else None
        )
        figure.draw_without_rendering()
    return texts


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_texts_are_within_their_figure_large_enough_for_a_phone_and_apart(draw, monkeypatch):
    figure = draw()
    texts = drawn_texts(figure, monkeypatch)
    boxes = [text.get_window_extent() for text in texts]
    # A point of type is a pixel of a phone that shows the figure 360 pixels wide.
    assert {text.get_fontsize() for text in texts} <= {9, 10, 11}
    assert figure.get_figwidth() == 360 / 72
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 and box.y1 <= figure.bbox.height, text
    # What overlaps is read off as one word; the classes' names stand among the points.
    pairs = [(i, j) for i in range(len(texts)) for j in range(i) if boxes[i].overlaps(boxes[j])]
    assert not [(texts[i].get_text(), texts[j].get_text()) for i, j in pairs]


@pytest.mark.parametrize("name", ["curves", "scatter", "grouped_bars", "discriminator_outputs", "errors_by_count"])
def test_no_legend_hides_data(name):
    figure = DRAWN[name]()
    figure.draw_without_rendering()
    legends = figure.findobj(Legend)
    assert legends
    for legend in legends:
        assert not any(legend.get_window_extent().overlaps(axes.bbox) for axes in figure.axes)


def test_tile_lays_images_out_row_by_row():
    images = np.arange(5)[:, None, None] / 10 * np.ones((5, 28, 28))
    tiled = figures.tile(images, columns=3)
    assert tiled.shape == (2 * 29 - 1, 3 * 29 - 1)
    centres = tiled[14::29, 14::29]
    np.testing.assert_allclose(centres, [[0, 0.1, 0.2], [0.3, 0.4, 1.0]])
    assert np.all(tiled[28] == 1) and np.all(tiled[:, 28] == 1)


def test_tile_keeps_each_image_upright():
    image = np.zeros((28, 28))
    image[2, 5] = 0.5
    assert figures.tile(image[None], 1)[2, 5] == 0.5


def test_images_need_not_be_square():
    wide = np.zeros((3, 2, 5))
    wide[1, 1, 4] = 0.5
    tiled = figures.tile(wide, columns=2)
    assert tiled.shape == (2 * 3 - 1, 2 * 6 - 1)
    assert tiled[1, 6 + 4] == 0.5 and np.sum(tiled == 0.5) == 1
    rows = figures.rows_of_images({"dark": wide[:2] * 0, "light": wide[:2] * 0 + 1}, "").axes[0]
    assert [rows.images[0].get_array()[int(tick), 0] for tick in rows.get_yticks()] == [0, 1]


def test_a_tiled_png_enlarges_pixels_to_squares_of_their_shade():
    images = np.stack([np.zeros((28, 28)), np.full((28, 28), 0.2)])
    shown = np.asarray(Image.open(io.BytesIO(figures.tiled_png(images, 2))).convert("L"))
    scale = 1000 // 57
    assert shown.shape == (28 * scale, 57 * scale)
    assert set(np.unique(shown[:, : 28 * scale])) == {0} and set(np.unique(shown[:, 29 * scale :])) == {51}
    assert set(np.unique(shown[:, 28 * scale : 29 * scale])) == {255}  # the gap


def test_reconstructions_stand_below_their_originals():
    originals, reconstructed = np.zeros((3, 28, 28)), np.ones((3, 28, 28))
    shown = figures.reconstructions(originals, reconstructed, "").axes[0].images[0].get_array()
    assert np.all(shown[14, 14::29] == 0) and np.all(shown[14 + 29, 14::29] == 1)
    # Of many, the second eight stand below the first.
    shades = np.arange(16)[:, None, None] / 32 * np.ones((16, 28, 28))
    first, second = figures.reconstructions(shades, shades + 0.5, "").axes
    for axes, block in ((first, shades[:8, 0, 0]), (second, shades[8:, 0, 0])):
        shown = axes.images[0].get_array()
        np.testing.assert_allclose(shown[14::29, 14::29], [block, block + 0.5])


def test_features_are_pictures_each_on_a_scale_that_one_large_weight_does_not_set():
    weights = np.zeros((3, 28, 28))
    weights[0] = -2
    weights[0, 0, 5], weights[0, 0, 6] = 100, 1
    weights[1] = 0.01
    weights[1, 1, 1] = -0.01
    axes, bar = figures.features({"a": weights}, "").axes
    shown = axes.images[0]
    assert shown.get_array()[0, :8].tolist() == [-1, -1, -1, -1, -1, 50, 0.5, -1]
    second = shown.get_array()[:28, 29:]
    assert second[1, 1] == -1 and np.sum(second == 1) == 783
    assert np.all(shown.get_array()[29:, :28] == 0)  # a unit without weights, below the first
    assert shown.get_clim() == (-1, 1)
    np.testing.assert_allclose(shown.cmap(0.5)[:3], 1, atol=0.05)
    assert "90th percentile" in bar.get_xlabel()


def test_curves_over_others_have_a_panel_a_quantity_and_a_line_a_run():
    kept = {name: [[3.0, 2.0], [3.5, 2.5]] for name in ("loss", "val_loss", "a", "b", "c")}
    figure = figures.curves_over({"loss": [9.0, 8.0, 7.0], "unknown": [1.0]}, kept)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["loss", "validation: loss", "a", "b", "c"]
    assert [len(axes.lines) for axes in shown] == [3, 2, 2, 2, 2]
    np.testing.assert_array_equal(shown[0].lines[2].get_xydata(), [[1, 9], [2, 8], [3, 7]])
    np.testing.assert_array_equal(shown[0].lines[1].get_xydata(), [[1, 3.5], [2, 2.5]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["2 kept seeds", "this run"]
    assert [handle.get_color() for handle in legend.legend_handles] == [line.get_color() for line in shown[0].lines[1:]]


def test_curves_draw_every_value_over_epochs_from_one():
    figure = figures.curves({"a": [3.0, 2.0], "b": [5.0, 4.0]}, [("A", "nats", ["a"]), ("Both", "nats", ["a", "b"])])
    assert [len(axes.lines) for axes in figure.axes] == [1, 2]
    np.testing.assert_array_equal(figure.axes[1].lines[1].get_xydata(), [[1, 5], [2, 4]])
    assert figure.axes[0].get_ylabel() == "nats"


def test_snapshots_stand_in_the_order_of_training():
    many = np.linspace(0.1, 0.9, 24)[:, None, None] * np.ones((24, 28, 28))
    (axes,) = figures.through_training({1: np.zeros((24, 28, 28)), 20: many}, "").axes
    shown = axes.images[0].get_array()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["epoch 1", "epoch 20"]
    assert shown.shape == (2 * 29 - 1, 10 * 29 - 1) and shown[14, 14] == 0
    np.testing.assert_allclose(shown[14 + 29, 14::29], many[:10, 0, 0])


def grey(epochs):
    """One shade an epoch, from dark to light."""
    return {epoch: np.full((24, 28, 28), i / len(epochs)) for i, epoch in enumerate(epochs)}


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


def test_class_fractions_are_shown_in_per_cent():
    (axes,) = figures.class_fractions([0.25, 0.75, 0, 0], "").axes
    assert [bar.get_height() for bar in axes.patches] == [25, 75, 0, 0]
    assert list(axes.lines[0].get_ydata()) == [25, 25]  # equal fractions
    assert axes.get_xticks().tolist() == [0, 1, 2, 3]
    # Numbers of so many classes beside each other could not be read.
    (axes,) = figures.class_fractions(np.full(60, 1 / 60), "").axes
    assert len(axes.patches) == 60 and axes.get_xticks().tolist() == list(range(0, 60, 3))


def test_the_bound_and_its_gap_fill_the_height_of_the_likelihood():
    elbo, gap = np.array([-5.0, -3.0]), np.array([3.0, 1.0])
    (axes,) = figures.bound(np.array([0.0, 1.0]), elbo, gap, -2.0).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, -5], [1, -3]])
    assert list(axes.lines[1].get_ydata()) == [-2, -2]
    filled = axes.collections[0].get_paths()[0].vertices
    assert (filled[:, 1].min(), filled[:, 1].max()) == (-5, -2)


def test_errors_stand_at_their_counts_with_bars_where_the_deviation_is_known():
    series = {"a": ([0.4, 0.1], [0.05, np.nan]), "b": ([0.3, 0.2], [0.02, 0.01])}
    (axes,) = figures.errors_by_count(series, [100, 1000], "", "error").axes
    (a, _, (bars,)), (b, *_) = axes.containers
    assert list(a.get_ydata()) == [0.4, 0.1]
    np.testing.assert_allclose(a.get_xdata() * b.get_xdata(), [100**2, 1000**2])  # one left of the count, one right
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [0.35, 0.45])
    assert len(bars.get_segments()[1]) == 0


def test_roc_curves_stand_beside_the_diagonal_of_chance():
    (axes,) = figures.roc_curves({"digit 3": {"error": (np.array([0, 0.1, 1]), np.array([0, 0.8, 1]))}}).axes
    assert axes.get_title() == "digit 3"
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, 0], [0.1, 0.8], [1, 1]])
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[0, 0], [1, 1]])


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


def test_scatter_has_a_colour_for_each_of_few_among_many_classes():
    # Matplotlib has ten colours, and begins anew with the eleventh class.
    (axes,) = figures.scatter({"codes": np.zeros((2, 2))}, np.array([0, 10])).axes
    assert not np.array_equal(*(points.get_facecolor() for points in axes.collections))


def test_png_is_a_picture_of_the_figure():
    dark = mpl_image.imread(io.BytesIO(figures.png(figures.image_grid(np.zeros((4, 28, 28)), 2))))
    light = mpl_image.imread(io.BytesIO(figures.png(figures.image_grid(np.ones((4, 28, 28)), 2))))
    assert dark.shape == light.shape and dark.shape[1:] == (800, 4)
    assert dark[..., :3].mean() < 0.5 < light[..., :3].mean()


def test_a_picture_says_in_words_what_it_shows():
    history = {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}
    figure = figures.curves(history, [("Negative ELBO", "nats per image", ["loss", "val_loss"])])
    with Image.open(io.BytesIO(figures.png(figure))) as image:
        described = image.text["Description"]
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert described == f"Negative ELBO. nats per image against epoch. {', '.join(names)}" and len(names) == 2


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
    figure = figures.rows_of_images({"dark": np.zeros((3, 28, 28)), "light": np.ones((3, 28, 28))}, "")
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    assert shown.shape == (2 * 29 - 1, 3 * 29 - 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dark", "light"]
    assert [shown[int(tick), 14] for tick in axes.get_yticks()] == [0, 1]
    # Beside long names there would be no room.
    dark, light = "rows with names that are long: dark", "rows with names that are long: light"
    figure = figures.rows_of_images({dark: np.zeros((3, 28, 28)), light: np.ones((3, 28, 28))}, "")
    assert [axes.get_title() for axes in figure.axes] == [dark, light]
    assert [axes.images[0].get_array()[14, 14] for axes in figure.axes] == [0, 1]


def test_panels_of_images_stand_beside_each_other_under_their_names():
    figure = figures.panels_of_images({"dark": np.zeros((4, 28, 28)), "light": np.ones((4, 28, 28))}, 2, "")
    assert [axes.get_title() for axes in figure.axes] == ["dark", "light"]
    assert [axes.images[0].get_array()[14, 14] for axes in figure.axes] == [0, 1]


def test_outputs_of_the_discriminators_share_one_scale():
    histories = {"a": {"D(x)": [0.6, 0.7], "D(G(z))": [0.4, 0.3]}, "b": {"D(x)": [0.9], "D(G(z))": [0.1]}}
    figure = figures.discriminator_outputs(histories, "")
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[1].get_xydata(), [[1, 0.4], [2, 0.3]])
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] > 1 > 0 > left.get_ylim()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["D(x)", "D(G(z))"]


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

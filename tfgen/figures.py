"""Figures of results: functions from arrays to a `matplotlib.figure.Figure`. They know no models and no files.

Images are `(n, height, width)` floats in [0, 1]. All figures are equally wide, so that a point of type is a pixel
on a phone that shows them 360 pixels wide; panels that would be narrow there stand below each other.
"""

import io
import math
import textwrap
from itertools import cycle

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator, ScalarFormatter
from matplotlib.transforms import offset_copy
from PIL import Image

# Told apart by people who are blind to red, green or blue; each has a contrast of 3 or more with white. Lines differ in
# their dashes besides. What a picture only refers to (chance, zero) is grey.
PALETTE = ("#0072B2", "#D55E00", "#1A1A1A", "#9A45E0", "#009E73", "#662C0F", "#808890")
_DASHES = ("-", "--", "-.", ":", (0, (7, 1, 1, 1)), (0, (1, 1)), (0, (3, 1)))
_REFERENCE = {"color": "0.35", "linewidth": 1, "linestyle": (0, (4, 3))}
_WIDTH = 5  # inches
_TITLE, _TEXT, _SMALL = 11, 10, 9  # points: a figure's title; panels and axes; ticks, legends, small panels


def finding(difference, noise, larger, smaller, neutral):
    """Returns a title: what a difference says, if it is beyond its noise, else a neutral one.

    Args:
        difference: float.
        noise: its standard deviation or error; NaN if that is not known.
        larger, smaller: titles of a positive and of a negative difference; `{}` becomes its magnitude, as in `{:.1f}`.
        neutral: title if the difference is within twice the noise, or that is not known.
    """
    if not abs(difference) > 2 * noise:
        return neutral
    return (larger if difference > 0 else smaller).format(abs(difference))


def noise_of_shares(shares, n):
    """Returns the standard error of the difference between two shares of `n` images each.

    Of the same images, most of which two models judge alike, the error is smaller.
    """
    return math.sqrt(sum(share * (1 - share) for share in shares) / n)


def _wrapped(text, columns=1):
    """Returns a text in lines about equally long, for which a figure has room or each of so many panels in a row."""
    lines = []
    for line in text.split("\n"):
        least = len(textwrap.wrap(line, 56 // columns))
        narrowest = next(width for width in range(1, 57) if len(textwrap.wrap(line, width)) <= least)
        lines.append(textwrap.fill(line, narrowest))
    return "\n".join(lines)


def _panels(height, title=None, rows=1, columns=1, **options):
    """Returns a figure of the common width and palette, and its `(rows, columns)` axes.

    Args:
        height: of all panels together, in inches.
        title: heading of the figure.
        rows, columns: of the panels.
        **options: of `Figure.subplots`.
    """
    title = _wrapped(title or "")
    figure = Figure(
        figsize=(_WIDTH, height + bool(title) * (0.1 + 0.19 * len(title.split("\n")))), layout="constrained"
    )
    if title:
        figure.suptitle(title, fontsize=_TITLE)
    panels = figure.subplots(rows, columns, squeeze=False, **options)
    for axes in panels.flat:
        axes.set_prop_cycle(color=PALETTE, linestyle=_DASHES)
        axes.tick_params(labelsize=_SMALL)
    return figure, panels


def _name(axes, name, columns=1):
    axes.set_title(_wrapped(name, columns), fontsize=_TEXT if columns == 1 else _SMALL)


def _legend_columns(labels, handle=43):
    """Returns how many columns of a legend fit below a figure; a handle and its gaps take so many points."""
    return max(1, min(len(labels), int(350 // (handle + 5 * max(map(len, labels))))))


def _legend_below(axes):
    """Puts a legend under the label of the horizontal axis, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [_wrapped(label) for label in labels]
    axes.legend(
        handles,
        labels,
        fontsize=_SMALL,
        frameon=False,
        ncols=_legend_columns(labels),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=offset_copy(axes.transAxes, axes.figure, y=-0.42),
    )


def _shared_legend(figure, handles, labels, place="outside lower center"):
    """Puts one legend under all panels of a figure, or above them."""
    figure.legend(handles, labels, fontsize=_SMALL, frameon=False, ncols=_legend_columns(labels), loc=place)


def description(figure):
    """Returns what a figure says in words, for those who do not see it: titles, axes, names of curves."""
    parts = [figure.get_suptitle()]
    for axes in figure.axes:
        names = [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []
        labels = [label for label in (axes.get_ylabel(), axes.get_xlabel()) if label]
        parts += [axes.get_title(), " against ".join(labels), ", ".join(names)]
    for legend in figure.legends:
        parts.append(", ".join(text.get_text() for text in legend.get_texts()))
    return ". ".join(dict.fromkeys(" ".join(part.split()) for part in parts if part.strip()))


def png(figure, dpi=160):
    """Returns a figure as the bytes of a PNG file, 800 pixels wide, which holds its description."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Description": description(figure)})
    return buffer.getvalue()


def gif(frames, milliseconds=250, last_milliseconds=2500, dpi=80):
    """Returns figures of equal size as the bytes of an animated GIF in shades of grey that loops for ever.

    Args:
        frames: the figures, at least one.
        milliseconds: how long each figure is shown.
        last_milliseconds: how long the last is shown.
        dpi: pixels per inch of the figures.
    """
    images = []
    for frame in frames:
        picture = io.BytesIO()
        frame.savefig(picture, format="png", dpi=dpi)
        images.append(Image.open(picture).convert("L"))
    buffer = io.BytesIO()
    durations = [milliseconds] * (len(images) - 1) + [last_milliseconds]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()


def tile(images, columns, gap=1.0):
    """Returns images as one array, row by row, with a pixel of `gap` (white) between neighbours."""
    count, height, width = np.shape(images)
    rows = -(-count // columns)
    padded = np.full((rows * columns, height + 1, width + 1), gap, np.float32)
    padded[:count, :height, :width] = images
    tiles = padded.reshape(rows, columns, height + 1, width + 1).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]


def tiled_png(images, columns):
    """Returns images, `columns` in a row, as the bytes of a PNG about 1,000 pixels wide or more.

    It has no axes and is not resampled: each pixel of an image becomes a square of whole pixels.
    """
    tiled = tile(images, columns)
    scale = max(1, 1000 // tiled.shape[1])
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, tiled.repeat(scale, 0).repeat(scale, 1), cmap="gray", vmin=0, vmax=1, format="png")
    return buffer.getvalue()


def _show(axes, image):
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def image_grid(images, columns=8, title=None):
    """Returns a grid of images, `columns` in a row."""
    tiled = tile(images, columns)
    figure, ((axes,),) = _panels(_WIDTH * tiled.shape[0] / tiled.shape[1], title)
    _show(axes, tiled)
    return figure


def reconstructions(originals, reconstructed, title):
    """Returns images above their reconstructions, at most eight beside each other."""
    blocks = np.array_split(np.arange(len(originals)), -(-len(originals) // 8))
    tiles = [tile(np.concatenate([originals[block], reconstructed[block]]), columns=len(block)) for block in blocks]
    height = sum(_WIDTH * tiled.shape[0] / tiled.shape[1] + 0.1 for tiled in tiles)
    figure, panels = _panels(height, f"{title}\nabove: test image; below: reconstruction", len(tiles))
    for axes, tiled in zip(panels.flat, tiles, strict=True):
        _show(axes, tiled)
    return figure


def features(weights, title):
    """Returns the weights of hidden units as pictures, one panel a model: what each unit responds to.

    Each picture has its own scale, symmetric about 0 (white) and up to the 90th percentile of the weights' magnitudes.
    A scale up to the largest weight would hide the rest, since weights of rarely lit pixels grow unchecked.

    Args:
        weights: dict from a model's name to `(units, height, width)` weights.
        title: heading.
    """
    columns = min(2, len(weights))
    rows = -(-len(weights) // columns)
    figure, panels = _panels((_WIDTH / columns + 0.3) * rows + 0.6, title, rows, columns)
    colors = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.5")
    for axes, (name, of_units) in zip(panels.flat, weights.items(), strict=False):
        largest = np.percentile(np.abs(of_units), 90, axis=(1, 2), keepdims=True)
        pictures = of_units / np.maximum(largest, 1e-12)
        side = int(np.ceil(np.sqrt(len(pictures))))
        shown = axes.imshow(tile(pictures, side, gap=np.nan), cmap=colors, vmin=-1, vmax=1, interpolation="nearest")
        _name(axes, name, columns)
    for axes in panels.flat:
        axes.set_axis_off()
    bar = figure.colorbar(shown, ax=panels, location="bottom", shrink=0.9, aspect=40, extend="both")
    bar.set_label("weight / 90th percentile of the unit's |weights|", size=_SMALL)
    bar.ax.tick_params(labelsize=_SMALL)
    return figure


def through_training(snapshots, title):
    """Returns samples through training: one row an epoch, each column of the same noise.

    Args:
        snapshots: dict from epoch to images, of which the first ten are drawn.
        title: heading.
    """
    return rows_of_images({f"epoch {epoch}": images[:10] for epoch, images in snapshots.items()}, title)


def frames_through_training(snapshots, columns=6):
    """Returns figures of equal size, one an epoch, for `gif`.

    Args:
        snapshots: dict from epoch to images.
        columns: images in a row.
    """
    frames = []
    for epoch, images in snapshots.items():
        rows = -(-len(images) // columns)
        figure = Figure(figsize=(0.7 * columns, 0.7 * rows + 0.4), layout="constrained")
        axes = figure.add_subplot()
        _show(axes, tile(images, columns))
        axes.set_title(f"epoch {epoch}", fontsize=_TITLE)
        frames.append(figure)
    return frames


def panels_of_images(panels, columns, title):
    """Returns grids of images, one panel each, two panels in a row.

    Args:
        panels: dict from a panel's title to images.
        columns: images in a row of a panel.
        title: heading of the figure.
    """
    tiles = {name: tile(images, columns) for name, images in panels.items()}
    beside = min(2, len(tiles))
    rows = -(-len(tiles) // beside)
    highest = max(tiled.shape[0] / tiled.shape[1] for tiled in tiles.values())
    lines = max(_wrapped(name, beside).count("\n") + 1 for name in tiles)
    figure, grid = _panels((_WIDTH / beside * highest + 0.1 + 0.16 * lines) * rows, title, rows, beside)
    for axes, (name, tiled) in zip(grid.flat, tiles.items(), strict=False):
        _show(axes, tiled)
        _name(axes, name, beside)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure


def _marker(values):
    """Returns a marker for a curve of a single point, which a line alone would not show; else None."""
    return "o" if np.isfinite(values).sum() == 1 else None


def curves(history, panels, log=False):
    """Returns training curves, the panels below each other.

    Args:
        history: dict from a quantity's name to its values, one an epoch; NaN leaves a gap.
        panels: list of `(title, unit, names)`; the names are keys of `history`.
        log: whether the vertical axes are logarithmic.
    """
    entries = sum(-(-len(names) // _legend_columns([_label(name) for name in names])) for _, _, names in panels)
    figure, rows = _panels(2.75 * len(panels) + 0.18 * entries, None, len(panels))
    for axes, (title, unit, names) in zip(rows.flat, panels, strict=True):
        for name in names:
            epochs = np.arange(1, len(history[name]) + 1)
            axes.plot(epochs, history[name], marker=_marker(history[name]), label=_label(name))
        axes.set(xlabel="epoch", ylabel=unit)
        _name(axes, title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if max(len(history[name]) for name in names) == 1:
            axes.set(xlim=(0.5, 1.5), xticks=[1])
        if log:
            axes.set_yscale("log")
            # Ticks read 6, not 6 x 10^0. A range of several decades has room for the ticks 1, 2, 3 and 5 only.
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
            axes.tick_params(which="both", labelsize=_SMALL)
        axes.grid(alpha=0.3, which="both")
        _legend_below(axes)
    return figure


def _label(name):
    return name.replace("val_", "validation: ").replace("_", " ").replace("kl ", "KL ")


def curves_over(own, kept):
    """Returns a run's training curves over those of other runs, a panel for each quantity of these.

    Args:
        own: dict from a quantity's name to its values, one an epoch; it may lack some.
        kept: dict from a quantity's name to the list of such values of each other run.
    """
    columns = min(2, len(kept))
    rows = -(-len(kept) // columns)
    figure, grid = _panels(2.2 * rows + 0.3, None, rows, columns)
    for (name, runs), axes in zip(kept.items(), grid.flat, strict=False):
        for values in runs:
            (others,) = axes.plot(np.arange(1, len(values) + 1), values, color="0.6", linewidth=1, linestyle="-")
        if name in own:
            epochs = np.arange(1, len(own[name]) + 1)
            axes.plot(epochs, own[name], color=PALETTE[1], linestyle="-", marker=_marker(own[name]))
        axes.set(xlabel="epoch")
        _name(axes, _label(name), columns)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(kept) :]:
        axes.set_axis_off()
    this_run = Line2D([], [], color=PALETTE[1])
    _shared_legend(figure, [others, this_run], [f"{len(runs)} kept seeds", "this run"])
    return figure


def class_fractions(fractions, title):
    """Returns a bar chart of the fraction of each class, with equal fractions as a line."""
    figure, ((axes,),) = _panels(2.8, title)
    axes.bar(np.arange(len(fractions)), 100 * np.asarray(fractions))
    axes.axhline(100 / len(fractions), **_REFERENCE)
    ticks = np.arange(0, len(fractions), math.ceil(len(fractions) / 20))  # More would run into each other.
    axes.set(xlabel="class", ylabel="share of samples (%)", xticks=ticks)
    return figure


def scatter(panels, labels, title=None):
    """Returns scatter plots of codes in the plane, below each other, each point in the colour of its class.

    So many colours are not told apart by everyone: each of few classes has its name among its outer points as well, the
    fifth that is farthest from the middle of all.

    Args:
        panels: dict from a title to `(n, 2)` codes.
        labels: `(n,)` integers, the classes of the points in every panel, which the legend names; or None for points of
            one colour.
        title: heading of the figure.
    """
    if labels is None:
        labels, colors = np.zeros(len(next(iter(panels.values()))), int), {0: PALETTE[0]}
    else:
        classes = np.unique(labels)
        ten = (*PALETTE, "#56B4E9", "#E69F00", "#CC79A7")
        many = matplotlib.colormaps["turbo"](np.linspace(0, 1, len(classes)))
        colors = {label: many[i] if classes[-1] >= 10 else ten[label] for i, label in enumerate(classes)}
    columns = _legend_columns([str(label) for label in colors], handle=29)
    entries = -(-len(colors) // columns) if len(colors) > 1 else 0
    figure, rows = _panels(4.2 * len(panels) + 0.2 * entries, title, len(panels))
    for axes, (name, codes) in zip(rows.flat, panels.items(), strict=True):
        for label, color in colors.items():
            x, y = codes[labels == label].T
            axes.scatter(x, y, s=4, alpha=0.6, linewidths=0, color=color, label=str(label), rasterized=True)
        if 1 < len(colors) <= 20:
            distances = np.linalg.norm(codes - np.median(codes, axis=0), axis=1)
            for label in colors:
                of_class, far = codes[labels == label], distances[labels == label]
                at = np.median(of_class[far >= np.quantile(far, 0.8)], axis=0)
                outline = patheffects.withStroke(linewidth=3, foreground="white")
                axes.text(*at, str(label), size=_TITLE, weight="bold", ha="center", va="center", path_effects=[outline])
        axes.set(xlabel="first coordinate", ylabel="second coordinate")
        _name(axes, name)
    if len(colors) > 1:
        handles = rows[0, 0].get_legend_handles_labels()
        options = {"fontsize": _SMALL, "frameon": False, "handletextpad": 0.2, "columnspacing": 1}
        legend = figure.legend(*handles, loc="outside lower center", markerscale=4, ncols=columns, **options)
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    return figure


def code_statistics(spectra, mean, standard_deviation, title):
    """Returns how a code's variance spreads over its directions, and the mean and spread of each of its units.

    Args:
        spectra: dict from a code's name to the eigenvalues of its covariance matrix, the largest first.
        mean: `(dim,)`, the mean of each unit of the code.
        standard_deviation: `(dim,)`, the standard deviation of each unit.
        title: heading.
    """
    figure, ((upper,), (lower,)) = _panels(6.2, title, 2)
    for name, eigenvalues in spectra.items():
        upper.semilogy(np.arange(1, len(eigenvalues) + 1), eigenvalues / np.sum(eigenvalues), label=name)
    upper.set(xlabel="eigenvalue of the covariance, by size", ylabel="share of the variance")
    upper.grid(alpha=0.3)
    _legend_below(upper)
    order = np.argsort(standard_deviation)[::-1]
    units = np.arange(1, len(order) + 1)
    lower.errorbar(units, mean[order], standard_deviation[order], fmt=".", markersize=3, linewidth=0.8)
    lower.axhline(0, color="0.35", linewidth=0.8)
    lower.set(xlabel="unit of the code, by standard deviation", ylabel="mean ± standard deviation")
    return figure


def bound(z_means, elbo, gap, log_likelihood):
    """Returns a plot of log p(x) = ELBO + KL(q || p(z|x)): both terms depend on q, their sum does not.

    Args:
        z_means: `(n,)`, the mean of q.
        elbo: `(n,)`, nats.
        gap: `(n,)`, KL(q || p(z|x)), nats.
        log_likelihood: float, log p(x), nats.
    """
    figure, ((axes,),) = _panels(3.4, "log p(x) = ELBO + KL(q || p(z|x)), linear-Gaussian model")
    axes.plot(z_means, elbo, label="ELBO")
    axes.fill_between(z_means, elbo, elbo + gap, color=PALETTE[0], alpha=0.3, label="KL(q(z|x) || p(z|x))")
    axes.axhline(log_likelihood, color="black", linestyle="--", label="log p(x)")
    axes.set(xlabel="mean of q(z|x)", ylabel="nats")
    _legend_below(axes)
    return figure


def probability_tables(tables, title):
    """Returns tables of probabilities, side by side.

    Args:
        tables: list of `(heading, cells)`; the cells are a dict from `(x, y)`, row and column, to a value.
        title: heading of the figure.
    """
    figure, (beside,) = _panels(1.7, title, 1, len(tables))
    for axes, (heading, cells) in zip(beside, tables, strict=True):
        xs, ys = (list(dict.fromkeys(values)) for values in zip(*cells, strict=True))
        table = axes.table(
            [[str(cells[x, y]) for y in ys] for x in xs],
            rowLabels=[f"x = {x}" for x in xs],
            colLabels=[f"y = {y}" for y in ys],
            cellLoc="center",
            bbox=(0.2, 0.1, 0.8, 0.8),
        )
        table.auto_set_font_size(False)
        table.set_fontsize(_SMALL)
        _name(axes, heading, len(tables))
        axes.set_axis_off()
    return figure


def decision_boundaries(points, classes, grid, scores, densities):
    """Returns two classes of points twice: with the boundaries alone, and with the densities that imply one.

    Args:
        points: `(n, 2)` float.
        classes: `(n,)`, each 0 or 1.
        grid: `(horizontal, vertical)`, two 1-D arrays of h and v coordinates, which span a `(v, h)` mesh.
        scores: dict from the name of a discriminative model to `(v, h)` values, 0 on its boundary; two models at most.
        densities: `(2, v, h)`: p(x, y) for y = 0 and 1.
    """
    colors = PALETTE[:2]
    figure, ((upper,), (lower,)) = _panels(7.6, None, 2, sharex=True, sharey=True)
    for axes in (upper, lower):
        for y, (color, marker) in enumerate(zip(colors, "o^", strict=True)):
            shown = points[classes == y].T
            axes.scatter(*shown, s=14, color=color, marker=marker, alpha=0.6, linewidths=0, label=f"class {y}")
        axes.set(xlabel="$x_1$", ylabel="$x_2$")
        axes.tick_params(labelbottom=True)
    for (name, values), style in zip(scores.items(), ("solid", "dashed")[: len(scores)], strict=True):
        upper.contour(*grid, values, levels=[0], colors="black", linestyles=style)
        upper.plot([], [], color="black", linestyle=style, label=name)
    _name(upper, "Discriminative: only where the decision changes")
    for density, color in zip(densities, colors, strict=True):
        lower.contour(*grid, density, levels=density.max() * np.exp([-8, -4.5, -2, -0.5]), colors=color, linewidths=1)
    lower.contour(*grid, densities[1] - densities[0], levels=[0], colors="black")
    lower.plot([], [], color="black", linestyle="-", label="p(x, 0) = p(x, 1)")
    _name(lower, "Generative: contours of p(x, y), and the boundary by Bayes' rule")
    for axes in (upper, lower):
        _legend_below(axes)
    return figure


def grouped_bars(groups, title, unit):
    """Returns a horizontal bar chart of several series, with the values at the bars.

    Args:
        groups: dict from a row's label to a dict from a series' name to its value; a row may lack a series.
        title: heading.
        unit: what the values are.
    """
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    legend_rows = -(-len(names) // _legend_columns(names))
    figure, ((axes,),) = _panels(max(0.5, 0.2 * len(names)) * len(groups) + 0.6 + 0.18 * legend_rows, title)
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        rows = {row + i * height: values[name] for row, values in enumerate(groups.values()) if name in values}
        bars = axes.barh(list(rows), list(rows.values()), height, label=name)
        axes.bar_label(bars, fmt="%.1f", fontsize=_SMALL, padding=2)
    axes.set_yticks(np.arange(len(groups)) + 0.4 - height / 2, list(groups))
    axes.set_ylim(len(groups) - 0.1 - height / 2, -0.1 - height / 2)
    axes.margins(x=0.15)
    axes.set_xlabel(unit)
    _shared_legend(figure, *axes.get_legend_handles_labels())
    return figure


def rows_of_images(rows, title):
    """Returns rows of images, each with its name at the left, or above it where a name is long.

    Args:
        rows: dict from a row's name to images; all rows are equally long.
        title: heading.
    """
    columns, longest = len(next(iter(rows.values()))), max(map(len, rows))
    tiled = tile(np.concatenate(list(rows.values())), columns)
    if longest > 24:
        figure, panels = _panels(_WIDTH * tiled.shape[0] / tiled.shape[1] + 0.25 * len(rows), title, len(rows))
        for axes, (name, images) in zip(panels.flat, rows.items(), strict=True):
            _show(axes, tile(images, columns))
            axes.set_title(name, fontsize=_SMALL)
        return figure
    names = 5 / 72 * longest  # About their width.
    figure, ((axes,),) = _panels((_WIDTH - 0.2 - names) * tiled.shape[0] / tiled.shape[1] + 0.1, title)
    axes.imshow(tiled, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    height = np.shape(next(iter(rows.values())))[1]
    axes.set_yticks(height / 2 + (height + 1) * np.arange(len(rows)), list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def discriminator_outputs(histories, title):
    """Returns the discriminators' outputs through training, one panel a GAN, two panels in a row, all on one scale.

    Args:
        histories: dict from a panel's title to a dict from a line's name to its values, one an epoch.
        title: heading of the figure.
    """
    columns = min(2, len(histories))
    rows = -(-len(histories) // columns)
    figure, grid = _panels(2.1 * rows + 0.3, title, rows, columns, sharey=True)
    for axes, (name, lines) in zip(grid.flat, histories.items(), strict=False):
        for label, values in lines.items():
            axes.plot(np.arange(1, len(values) + 1), values, marker=".", label=label)
        axes.axhline(0.5, **_REFERENCE)
        axes.set(xlabel="epoch", ylim=(-0.03, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _name(axes, name, columns)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(histories) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("probability of real")
    _shared_legend(figure, *grid[0, 0].get_legend_handles_labels())
    return figure


def generator_gradients(d, derivatives, first_epoch, d_alone, norms):
    """Returns a plot of the generator's gradient under each loss, as a function of D's output on generated images.

    Args:
        d: `(n,)` float in (0, 1), values of D(G(z)).
        derivatives: dict from a loss to `(n,)`, its derivative with respect to D's logit at these values.
        first_epoch: the mean D(G(z)) in the first epoch of each trained GAN.
        d_alone: `(steps,)`, mean D(G(z)) of an untrained generator while only the discriminator is trained.
        norms: dict from a loss to `(steps,)`, the norm of the gradient that this generator gets.
    """
    figure, ((upper,), (lower,)) = _panels(7.4, None, 2)
    for loss, values in derivatives.items():
        upper.loglog(d, np.abs(values), label=loss)
    label = f"mean D(G(z)) of {len(first_epoch)} GANs in their first epoch"
    upper.axvspan(min(first_epoch), max(first_epoch), color="0.8", label=label)
    upper.set(xlabel="D(G(z))", ylabel="|derivative of the loss by D's logit|")
    _name(upper, "By the formulas of the losses")
    steps = np.arange(len(d_alone))
    for loss, values in norms.items():
        lower.semilogy(steps, values, label=f"gradient norm, {loss}")
    lower.semilogy(steps, d_alone, **_REFERENCE, label="mean D(G(z))")
    lower.set(xlabel="updates of the discriminator alone", ylabel="norm of G's gradient; D(G(z))")
    _name(lower, "Measured on an untrained generator, which stays as it is")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        _legend_below(axes)
    return figure


def adversarial_stages(x, data_density, stages, z, title):
    """Returns figure 1 of Goodfellow et al. 2014 redrawn: densities, D and D* above, z -> x = G(z) below.

    D and D* are drawn where the sum of both densities exceeds a hundredth of the data's peak.

    Args:
        x: `(bins,)` centres of the bins.
        data_density: `(bins,)`, p_data.
        stages: dict from a panel's title to a dict of `model_density`, `discriminator`, `optimal_discriminator`,
            each `(bins,)`, and `generated`, the points G(z) for the given z.
        z: `(m,)` points of noise, drawn on a separate scale.
        title: heading of the figure.
    """
    columns = min(2, len(stages))
    pairs = -(-len(stages) // columns)
    options = {"sharex": True, "sharey": "row", "height_ratios": (3, 1) * pairs}
    figure, grid = _panels(3.4 * pairs + 0.3, title, 2 * pairs, columns, **options)
    foot = np.mean(x) + 0.3 * np.ptp(x) * z / np.abs(z).max()
    beside = list(zip(grid[::2].flat, grid[1::2].flat, strict=True))
    for (upper, lower), (name, stage) in zip(beside, stages.items(), strict=False):
        upper.plot(x, data_density, color="0.35", linestyle=":", label="$p_{data}$")
        upper.plot(x, stage["model_density"], color=PALETTE[2], label="$p_g$, histogram")
        upper.set_ylim(0, 2 * data_density.max())
        _name(upper, name, columns)
        right = upper.twinx()
        right.tick_params(labelsize=_SMALL)
        seen = data_density + stage["model_density"] > 1e-2 * data_density.max()
        for key, style, label in (
            ("optimal_discriminator", {"color": PALETTE[1], "linewidth": 4, "alpha": 0.5}, "$D^*$"),
            ("discriminator", {"color": PALETTE[0], "linestyle": "--"}, "D"),
        ):
            right.plot(x, np.where(seen, stage[key], np.nan), label=label, **style)
        right.set_ylim(0, 1)
        lower.plot([foot, stage["generated"]], np.repeat([[0.0], [1.0]], len(z), axis=1), "k-", linewidth=0.6)
        lower.hlines([0, 1], x[0], x[-1], color="black", linewidth=1)
        lower.set(yticks=[0, 1], yticklabels=["z", "G(z)"], xlim=(x[0], x[-1]), xlabel="x")
        lower.spines[:].set_visible(False)
        if upper in grid[:, -1]:
            right.set_ylabel("D(x)")
        else:
            right.set_yticklabels([])
    for pair in beside[len(stages) :]:
        for axes in pair:
            axes.set_axis_off()
    for upper in grid[::2, 0]:
        upper.set_ylabel("density")
    handles = [*grid[0, 0].get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    _shared_legend(figure, handles, [handle.get_label() for handle in handles])
    return figure


def roc_curves(panels):
    """Returns ROC curves, the panels two or three in a row, with the diagonal of chance and one legend for all.

    Args:
        panels: dict from a title to a dict from a curve's name to `(false positive rates, true positive rates)`. The
            first panel has every name that there is, in the order of all panels.
    """
    columns = min(3 if len(panels) > 4 else 2, len(panels))
    rows = -(-len(panels) // columns)
    options = {"sharex": True, "sharey": True}
    figure, grid = _panels((_WIDTH / columns + 0.1) * rows + 0.8, None, rows, columns, **options)
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for name, (false_positives, true_positives) in curves.items():
            axes.plot(false_positives, true_positives, label=name)
        axes.plot([0, 1], [0, 1], **_REFERENCE, label="chance")
        _name(axes, title, columns)
        axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("share of the other digits called anomalous", fontsize=_TEXT)
    figure.supylabel("share of the left-out digit found", fontsize=_TEXT)
    _shared_legend(figure, *grid[0, 0].get_legend_handles_labels(), "outside upper center")
    return figure


def errors_by_count(series, counts, title, unit):
    """Returns lines with error bars over numbers of labelled images, both axes logarithmic.

    Args:
        series: dict from a line's name to `(means, standard deviations)`, one of each for every count. NaN as a
            standard deviation means that it is not known; no bar is drawn.
        counts: numbers of labelled images, increasing.
        title: heading.
        unit: what the values are.
    """
    figure, ((axes,),) = _panels(3.8 + 0.18 * -(-len(series) // _legend_columns(list(series))), title)
    # Each line is shifted by a few per cent, so that no bar hides another.
    shifts = np.geomspace(0.9, 1 / 0.9, len(series))
    for (name, (means, deviations)), shift, marker in zip(series.items(), shifts, cycle("osD^vX"), strict=False):
        axes.errorbar(np.multiply(counts, shift), means, deviations, marker=marker, markersize=5, capsize=3, label=name)
    axes.set(xscale="log", yscale="log", xlabel="labelled training images", ylabel=unit)
    axes.set_xlim(0.7 * counts[0], counts[-1] / 0.7)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_yticks([], minor=True)
    axes.grid(alpha=0.3)
    _shared_legend(figure, *axes.get_legend_handles_labels())
    return figure

"""Figures of results: functions from arrays to a `matplotlib.figure.Figure`. They know no models and no files.

Images are `(n, height, width)` floats in [0, 1].
"""

import io
import math

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator, ScalarFormatter
from PIL import Image


def png(figure, dpi=120):
    """Returns a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
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
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(0.55 * columns, 0.55 * rows + 0.4))
    axes = figure.add_subplot()
    _show(axes, tile(images, columns))
    if title:
        axes.set_title(title, fontsize=10)
    return figure


def reconstructions(originals, reconstructed, title):
    """Returns images above their reconstructions."""
    figure = Figure(figsize=(0.7 * len(originals), 2.0))
    axes = figure.add_subplot()
    _show(axes, tile(np.concatenate([originals, reconstructed]), columns=len(originals)))
    axes.set_title(f"{title}\nabove: test image; below: reconstruction", fontsize=10)
    return figure


def features(weights, title):
    """Returns the weights of hidden units as pictures, one panel a model: what each unit responds to.

    Each picture has its own scale, symmetric about 0 (white) and up to the 90th percentile of the weights' magnitudes.
    A scale up to the largest weight would hide the rest, since weights of rarely lit pixels grow unchecked.

    Args:
        weights: dict from a model's name to `(units, height, width)` weights.
        title: heading.
    """
    figure = Figure(figsize=(3.6 * len(weights) + 0.6, 4.2), layout="constrained")
    figure.suptitle(title, fontsize=10)
    colors = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.5")
    axes_row = figure.subplots(1, len(weights), squeeze=False)[0]
    for axes, (name, of_units) in zip(axes_row, weights.items(), strict=True):
        largest = np.percentile(np.abs(of_units), 90, axis=(1, 2), keepdims=True)
        pictures = of_units / np.maximum(largest, 1e-12)
        side = int(np.ceil(np.sqrt(len(pictures))))
        shown = axes.imshow(tile(pictures, side, gap=np.nan), cmap=colors, vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    label = "weight / 90th percentile of the unit's |weights|"
    figure.colorbar(shown, ax=axes_row, shrink=0.9, extend="both", label=label)
    return figure


def through_training(snapshots, title):
    """Returns samples through training: one column an epoch, all of the same noise.

    Args:
        snapshots: dict from epoch to images.
        title: heading.
    """
    figure = Figure(figsize=(1.5 * len(snapshots), 4.2), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes_row = figure.subplots(1, len(snapshots), squeeze=False)[0]
    for axes, (epoch, images) in zip(axes_row, snapshots.items(), strict=True):
        _show(axes, tile(images, columns=3))
        axes.set_title(f"epoch {epoch}", fontsize=9)
    return figure


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
        axes.set_title(f"epoch {epoch}", fontsize=11)
        frames.append(figure)
    return frames


def panels_of_images(panels, columns, title):
    """Returns grids of images, one panel each, side by side.

    Args:
        panels: dict from a panel's title to images.
        columns: images in a row of a panel.
        title: heading of the figure.
    """
    rows = max(-(-len(images) // columns) for images in panels.values())
    figure = Figure(figsize=(0.42 * columns * len(panels) + 0.4, 0.42 * rows + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, (name, images) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _show(axes, tile(images, columns))
        axes.set_title(name, fontsize=9)
    return figure


def _marker(values):
    """Returns a marker for a curve of a single point, which a line alone would not show; else None."""
    return "o" if np.isfinite(values).sum() == 1 else None


def curves(history, panels, log=False):
    """Returns training curves, the panels side by side.

    Args:
        history: dict from a quantity's name to its values, one an epoch; NaN leaves a gap.
        panels: list of `(title, unit, names)`; the names are keys of `history`.
        log: whether the vertical axes are logarithmic.
    """
    figure = Figure(figsize=(5 * len(panels), 3.4))
    axes_row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, unit, names) in zip(axes_row, panels, strict=True):
        for name in names:
            label = name.replace("val_", "validation: ").replace("_", " ")
            epochs = np.arange(1, len(history[name]) + 1)
            axes.plot(epochs, history[name], marker=_marker(history[name]), label=label)
        axes.set(title=title, xlabel="epoch", ylabel=unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if max(len(history[name]) for name in names) == 1:
            axes.set(xlim=(0.5, 1.5), xticks=[1])
        if log:
            axes.set_yscale("log")
            # Ticks read 6, not 6 x 10^0. A range of several decades has room for the ticks 1, 2, 3 and 5 only.
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


def curves_over(own, kept):
    """Returns a run's training curves over those of other runs, a panel for each quantity of these.

    Args:
        own: dict from a quantity's name to its values, one an epoch; it may lack some.
        kept: dict from a quantity's name to the list of such values of each other run.
    """
    columns = min(4, len(kept))
    rows = -(-len(kept) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (name, runs), axes in zip(kept.items(), panels, strict=False):
        for i, values in enumerate(runs):
            label = None if i else f"{len(runs)} kept seeds"
            axes.plot(np.arange(1, len(values) + 1), values, color="0.6", linewidth=1, label=label)
        if name in own:
            axes.plot(
                np.arange(1, len(own[name]) + 1), own[name], color="C3", marker=_marker(own[name]), label="this run"
            )
        axes.set(title=name.replace("val_", "validation: ").replace("_", " "), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    for axes in panels:  # Those that are left over.
        axes.set_axis_off()
    return figure


def class_fractions(fractions, title):
    """Returns a bar chart of the fraction of each class, with equal fractions as a line."""
    figure = Figure(figsize=(5, 3))
    axes = figure.add_subplot()
    axes.bar(np.arange(len(fractions)), 100 * np.asarray(fractions))
    axes.axhline(100 / len(fractions), color="black", linewidth=0.8, linestyle="--")
    ticks = np.arange(0, len(fractions), math.ceil(len(fractions) / 20))  # More would run into each other.
    axes.set(title=title, xlabel="class", ylabel="share of samples (%)", xticks=ticks)
    return figure


def scatter(panels, labels):
    """Returns scatter plots of codes in the plane, side by side, each point in the colour of its class.

    Args:
        panels: dict from a title to `(n, 2)` codes.
        labels: `(n,)` integers, the classes of the points in every panel, which the legend names; or None for points of
            one colour.
    """
    figure = Figure(figsize=(5.2 * len(panels) + 0.8, 5), layout="constrained")
    if labels is None:
        labels, colors = np.zeros(len(next(iter(panels.values()))), int), {0: "C0"}
    else:
        classes = np.unique(labels)
        many = matplotlib.colormaps["turbo"](np.linspace(0, 1, len(classes)))
        colors = {label: many[i] if classes[-1] >= 10 else f"C{label}" for i, label in enumerate(classes)}
    axes_row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, codes) in zip(axes_row, panels.items(), strict=True):
        for label, color in colors.items():
            x, y = codes[labels == label].T
            axes.scatter(x, y, s=3, alpha=0.5, linewidths=0, color=color, label=str(label), rasterized=True)
        axes.set(title=title, xlabel="first coordinate", ylabel="second coordinate")
    if len(colors) > 1:
        handles = axes_row[0].get_legend_handles_labels()
        columns = math.ceil(len(colors) / 20)
        legend = figure.legend(*handles, loc="outside right center", markerscale=4, ncols=columns)
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
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    left, right = figure.subplots(1, 2)
    for name, eigenvalues in spectra.items():
        left.semilogy(np.arange(1, len(eigenvalues) + 1), eigenvalues / np.sum(eigenvalues), label=name)
    left.set(xlabel="eigenvalue of the covariance, by size", ylabel="share of the variance")
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    order = np.argsort(standard_deviation)[::-1]
    units = np.arange(1, len(order) + 1)
    right.errorbar(units, mean[order], standard_deviation[order], fmt=".", markersize=3, linewidth=0.8)
    right.axhline(0, color="black", linewidth=0.5)
    right.set(xlabel="unit of the code, by standard deviation", ylabel="mean ± standard deviation")
    return figure


def bound(z_means, elbo, gap, log_likelihood):
    """Returns a plot of log p(x) = ELBO + KL(q || p(z|x)): both terms depend on q, their sum does not.

    Args:
        z_means: `(n,)`, the mean of q.
        elbo: `(n,)`, nats.
        gap: `(n,)`, KL(q || p(z|x)), nats.
        log_likelihood: float, log p(x), nats.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(z_means, elbo, label="ELBO")
    axes.fill_between(z_means, elbo, elbo + gap, alpha=0.3, label="KL(q(z|x) || p(z|x))")
    axes.axhline(log_likelihood, color="black", linestyle="--", label="log p(x)")
    axes.set(xlabel="mean of q(z|x)", ylabel="nats", title="log p(x) = ELBO + KL(q || p(z|x)), linear-Gaussian model")
    axes.legend()
    return figure


def probability_tables(tables, title):
    """Returns tables of probabilities, side by side.

    Args:
        tables: list of `(heading, cells)`; the cells are a dict from `(x, y)`, row and column, to a value.
        title: heading of the figure.
    """
    figure = Figure(figsize=(3.2 * len(tables), 1.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, (heading, cells) in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables, strict=True):
        xs, ys = (list(dict.fromkeys(values)) for values in zip(*cells, strict=True))
        table = axes.table(
            [[str(cells[x, y]) for y in ys] for x in xs],
            rowLabels=[f"x = {x}" for x in xs],
            colLabels=[f"y = {y}" for y in ys],
            cellLoc="center",
            bbox=(0.2, 0.1, 0.8, 0.8),
        )
        table.set_fontsize(10)
        axes.set_title(heading, fontsize=10)
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
    colors = ("tab:blue", "tab:orange")
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes in (left, right):
        for y, color in enumerate(colors):
            axes.scatter(*points[classes == y].T, s=9, color=color, alpha=0.6, linewidths=0, label=f"class {y}")
        axes.set(xlabel="$x_1$", ylabel="$x_2$")
    for (name, values), style in zip(scores.items(), ("solid", "dashed")[: len(scores)], strict=True):
        left.contour(*grid, values, levels=[0], colors="black", linestyles=style)
        left.plot([], [], color="black", linestyle=style, label=name)
    left.set_title("Discriminative: only where the decision changes", fontsize=10)
    for density, color in zip(densities, colors, strict=True):
        right.contour(*grid, density, levels=density.max() * np.exp([-8, -4.5, -2, -0.5]), colors=color, linewidths=1)
    right.contour(*grid, densities[1] - densities[0], levels=[0], colors="black")
    right.plot([], [], color="black", label="p(x, 0) = p(x, 1)")
    right.set_title("Generative: contours of p(x, y), and the boundary by Bayes' rule", fontsize=10)
    for axes in (left, right):
        axes.legend(fontsize=8, loc="upper left")
    return figure


def grouped_bars(groups, title, unit):
    """Returns a horizontal bar chart of several series, with the values at the bars.

    Args:
        groups: dict from a row's label to a dict from a series' name to its value; a row may lack a series.
        title: heading.
        unit: what the values are.
    """
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    figure = Figure(figsize=(7, max(0.5, 0.18 * len(names)) * len(groups) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        rows = {row + i * height: values[name] for row, values in enumerate(groups.values()) if name in values}
        axes.bar_label(
            axes.barh(list(rows), list(rows.values()), height, label=name), fmt="%.1f", fontsize=7, padding=2
        )
    axes.set_yticks(np.arange(len(groups)) + 0.4 - height / 2, list(groups))
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return figure


def rows_of_images(rows, title):
    """Returns rows of images, each with its name at the left.

    Args:
        rows: dict from a row's name to images; all rows are equally long.
        title: heading.
    """
    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(0.6 * columns + 1.4, 0.6 * len(rows) + 0.6))
    axes = figure.add_subplot()
    axes.imshow(
        tile(np.concatenate(list(rows.values())), columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
    )
    height = np.shape(next(iter(rows.values())))[1]
    axes.set_yticks(height / 2 + (height + 1) * np.arange(len(rows)), list(rows), fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure


def discriminator_outputs(histories, title):
    """Returns the discriminators' outputs through training, one panel a GAN, all on one scale.

    Args:
        histories: dict from a panel's title to a dict from a line's name to its values, one an epoch.
        title: heading of the figure.
    """
    figure = Figure(figsize=(3.1 * len(histories), 3.2), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes_row = figure.subplots(1, len(histories), squeeze=False, sharey=True)[0]
    for axes, (name, lines) in zip(axes_row, histories.items(), strict=True):
        for label, values in lines.items():
            axes.plot(np.arange(1, len(values) + 1), values, marker=".", label=label)
        axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--")
        axes.set(xlabel="epoch", ylim=(-0.03, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3)
    axes_row[0].set_ylabel("probability of real")
    axes_row[0].legend(fontsize=8)
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
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for loss, values in derivatives.items():
        left.loglog(d, np.abs(values), label=loss)
    label = f"mean D(G(z)) of {len(first_epoch)} GANs in their first epoch"
    left.axvspan(min(first_epoch), max(first_epoch), color="0.7", label=label)
    left.set(xlabel="D(G(z))", ylabel="|derivative of the loss with respect to D's logit|")
    left.set_title("By the formulas of the losses", fontsize=10)
    steps = np.arange(len(d_alone))
    for loss, values in norms.items():
        right.semilogy(steps, values, label=f"gradient norm, {loss}")
    right.semilogy(steps, d_alone, color="black", linestyle="--", linewidth=1, label="mean D(G(z))")
    right.set(xlabel="updates of the discriminator alone", ylabel="norm of the generator's gradient; D(G(z))")
    right.set_title("Measured on an untrained generator, which stays as it is", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
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
    figure = Figure(figsize=(3.3 * len(stages) + 0.5, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    rows = figure.subplots(2, len(stages), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
    foot = np.mean(x) + 0.3 * np.ptp(x) * z / np.abs(z).max()
    for (upper, lower), (name, stage) in zip(rows.T, stages.items(), strict=True):
        upper.plot(x, data_density, color="black", linestyle=":", label="$p_{data}$")
        upper.plot(x, stage["model_density"], color="tab:green", label="$p_g$, histogram")
        upper.set_ylim(0, 2 * data_density.max())
        upper.set_title(name, fontsize=9)
        right = upper.twinx()
        seen = data_density + stage["model_density"] > 1e-2 * data_density.max()
        for key, style, label in (
            ("optimal_discriminator", {"color": "tab:orange", "linewidth": 3, "alpha": 0.5}, "$D^*$"),
            ("discriminator", {"color": "tab:blue", "linestyle": "--"}, "D"),
        ):
            right.plot(x, np.where(seen, stage[key], np.nan), label=label, **style)
        right.set_ylim(0, 1)
        lower.plot([foot, stage["generated"]], np.repeat([[0.0], [1.0]], len(z), axis=1), color="black", linewidth=0.6)
        lower.hlines([0, 1], x[0], x[-1], color="black", linewidth=1)
        lower.set(yticks=[0, 1], yticklabels=["z", "x = G(z)"], xlim=(x[0], x[-1]), xlabel="x")
        lower.spines[:].set_visible(False)
        if upper is not rows[0, -1]:
            right.set_yticklabels([])
    rows[0, 0].set_ylabel("density")
    right.set_ylabel("D(x), probability of data")
    handles = [*upper.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    rows[0, 0].legend(handles, [handle.get_label() for handle in handles], fontsize=8, loc="upper left")
    return figure


def roc_curves(panels):
    """Returns ROC curves, the panels side by side, with the diagonal of chance.

    Args:
        panels: dict from a title to a dict from a curve's name to `(false positive rates, true positive rates)`.
    """
    figure = Figure(figsize=(6.6 * len(panels), 5), layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, (false_positives, true_positives) in curves.items():
            axes.plot(false_positives, true_positives, linewidth=1.2, label=name)
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--", label="chance")
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="share of the other digits called anomalous", ylabel="share of the left-out digit found")
        axes.set_aspect("equal")
        axes.grid(alpha=0.3)
        # Outside the axes: curves below the diagonal, of anomalies that are not found, fill the lower right.
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
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
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    # Each line is shifted by a few per cent, so that no bar hides another.
    shifts = np.geomspace(0.9, 1 / 0.9, len(series))
    for (name, (means, deviations)), shift in zip(series.items(), shifts, strict=True):
        axes.errorbar(np.multiply(counts, shift), means, deviations, marker="o", markersize=4, capsize=3, label=name)
    axes.set(xscale="log", yscale="log", xlabel="labelled training images", ylabel=unit)
    axes.set_xlim(0.7 * counts[0], counts[-1] / 0.7)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_yticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    return figure

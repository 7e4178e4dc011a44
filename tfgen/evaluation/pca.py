"""Principal component analysis, the linear counterpart of an autoencoder.

No linear autoencoder with as many code units has a smaller error on the images that PCA was fitted to.
"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA


def fit_pca(train: np.ndarray, components: int) -> PCA:
    """Returns scikit-learn's PCA of `(n, pixels)` images: `transform` gives the codes, `inverse_transform` images."""
    return PCA(components, svd_solver="covariance_eigh").fit(train)


def linear_networks(pca: PCA) -> dict[str, list[tuple[str, np.ndarray, np.ndarray]]]:
    """Returns a fitted PCA as two networks of one linear layer: `pca_encoder`, image -> code, and `pca_decoder`.

    Returns:
        dict from each one's name to its layers, `(activation, kernel, bias)` in float32.
    """
    kernel = pca.components_.T
    encoder, decoder = (kernel, -pca.mean_ @ kernel), (kernel.T, pca.mean_)
    return {
        name: [("linear", *(array.astype("float32") for array in layer))]
        for name, layer in (("pca_encoder", encoder), ("pca_decoder", decoder))
    }


def pca_squared_error(train: np.ndarray, test: np.ndarray, components: int) -> float:
    """Returns the squared error of test images reconstructed from their leading principal components.

    Args:
        train: `(n, pixels)` float in [0, 1], to which PCA is fitted.
        test: `(m, pixels)` float in [0, 1].
        components: number of components kept; at most min(n, pixels).

    Returns:
        float, summed over pixels, mean over test images.

    Source: Hinton & Salakhutdinov 2006, figure 2B.
    """
    pca = fit_pca(train, components)
    residual = test - pca.inverse_transform(pca.transform(test))
    return float(np.mean(np.sum(np.square(residual), axis=1)))

"""The reconstruction error of principal component analysis: the floor of every linear autoencoder."""

import numpy as np
from sklearn.decomposition import PCA


def pca_squared_error(train, test, components):
    """Returns the squared error of test images reconstructed from their leading principal components.

    Args:
        train: `(n, pixels)` float in [0, 1], from which mean and components are taken.
        test: `(m, pixels)` float in [0, 1].
        components: number of components kept; at most min(n, pixels).

    Returns:
        float, summed over pixels, mean over test images.

    Source: Hinton & Salakhutdinov 2006, figure 2B.
    """
    pca = PCA(components, svd_solver="covariance_eigh").fit(train)
    residual = test - pca.inverse_transform(pca.transform(test))
    return float(np.mean(np.sum(np.square(residual), axis=1)))

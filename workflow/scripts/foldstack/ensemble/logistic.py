"""The logistic stack: multinomial logistic regression on all models' log-probabilities of all classes."""

import numpy as np

from foldstack.probabilities import softmax

ITERATIONS = 5000


def fit(features: np.ndarray, labels: np.ndarray, n_classes: int, floor: float) -> dict:
    """`coef` (C, F) and `intercept` (C,), for a softmax over all classes; features (N, F) are `meta_features`."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the order of a sum, and with it the last bits, may depend on the number of threads
        fitted = LogisticRegression(max_iter=ITERATIONS).fit(features, labels)
    present, coef, intercept = fitted.classes_, fitted.coef_, fitted.intercept_
    if len(present) == 2:  # scikit-learn keeps one row, the logit of the second class against the first
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0, intercept)
    # A class without a sample in these rows gets no probability: an intercept far below any logit, since no feature
    # is larger than -log(floor).
    lowest = intercept + np.abs(coef).sum(axis=1) * np.log(floor)
    all_coef = np.zeros((n_classes, features.shape[1]))
    all_intercept = np.full(n_classes, lowest.min() - 50)
    all_coef[present], all_intercept[present] = coef, intercept
    return {"coef": all_coef.tolist(), "intercept": all_intercept.tolist()}


def predict(features: np.ndarray, fitted: dict) -> np.ndarray:
    """(N, C)."""
    return softmax(features @ np.transpose(fitted["coef"]) + fitted["intercept"])

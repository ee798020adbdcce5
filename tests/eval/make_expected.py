"""Writes data/classification.json and data/regression.json: inputs and the values that scikit-learn
and scipy give for them. Needs numpy, scipy and scikit-learn: python3 tests/eval/make_expected.py"""

import json
import pathlib
import warnings

import numpy as np
import scipy.stats
import sklearn
from sklearn import metrics

warnings.simplefilter("ignore")
FOLDER = pathlib.Path(__file__).parent / "data"


def plain(value):
    """JSON has no NaN or infinity: they are written as strings."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (np.integer, int)):
        return int(value)
    if isinstance(value, (np.floating, float)):
        return float(value) if np.isfinite(value) else str(float(value))
    return value


def averages(labels, predicted):
    result = {}
    for average in ("macro", "micro", "weighted"):
        p, r, f, _ = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0)
        result[average] = [p, r, f]
    return result


def calibration(probabilities, labels, bins=15):
    """torchmetrics' MulticlassCalibrationError, norm l1, in double."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    index = np.digitize(confidence, np.linspace(0, 1, bins + 1)) - 1
    error = 0.0
    counts = []
    for b in range(bins + 1):
        member = index == b
        counts.append(int(member.sum()))
        if member.any():
            error += member.mean() * abs(confidence[member].mean() - correct[member].mean())
    return error, counts if counts[-1] else counts[:-1]


def curve_values(scores, positive):
    fpr, tpr, roc_thresholds = metrics.roc_curve(positive, scores, pos_label=1)
    precision, recall, pr_thresholds = metrics.precision_recall_curve(
        positive, scores, pos_label=1)
    both = 0 < positive.sum() < len(positive)
    step_sum = max(0.0, -float(np.sum(np.diff(recall) * precision[:-1])))
    if both:
        assert abs(step_sum - metrics.average_precision_score(positive, scores)) < 1e-15
    return {
        "fpr": fpr, "tpr": tpr, "roc_thresholds": roc_thresholds,
        "roc_auc": metrics.roc_auc_score(positive, scores) if both else float("nan"),
        "precision": precision, "recall": recall, "pr_thresholds": pr_thresholds,
        "average_precision": step_sum,
    }


def classification_case(name, probabilities, labels):
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    classes = probabilities.shape[1]
    every = np.arange(classes)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0)
    ece, counts = calibration(probabilities, labels)
    hits = int((predicted == labels).sum())
    wilson = scipy.stats.binomtest(hits, len(labels)).proportion_ci(method="wilson")
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=every).ravel(),
        "precision": precision, "recall": recall, "f1": f1, "support": support,
        **averages(labels, predicted),
        "log_loss": metrics.log_loss(labels, probabilities, labels=every),
        "brier": metrics.brier_score_loss(labels, probabilities, labels=every),
        "ece": ece, "bin_counts": counts,
        "wilson": [wilson.low, wilson.high],
        "kappa": metrics.cohen_kappa_score(labels, predicted),
        "kappa_linear":
            metrics.cohen_kappa_score(labels, predicted, labels=every, weights="linear"),
        "kappa_quadratic":
            metrics.cohen_kappa_score(labels, predicted, labels=every, weights="quadratic"),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "matthews": metrics.matthews_corrcoef(labels, predicted),
        "curves": [curve_values(probabilities[:, c], (labels == c).astype(int)) for c in every],
    }
    if classes > 2:
        expected["top_k"] = [metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=every)
                             for k in range(1, classes + 1)]
        if len(set(labels)) == classes:
            expected["roc_auc_macro"] = metrics.roc_auc_score(
                labels, probabilities, multi_class="ovr", average="macro")
    else:
        positive = (labels == 1).astype(int)
        expected["brier_binary"] = metrics.brier_score_loss(
            positive, probabilities[:, 1], pos_label=1)
    return {"name": name, "classes": classes, "labels": labels,
            "probabilities": probabilities.ravel(), "expected": expected}


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def random_case(rng, rows, classes, skill):
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += skill
    return softmax(logits), labels


def write(name, cases):
    versions = {"numpy": np.__version__, "scipy": scipy.__version__,
                "scikit-learn": sklearn.__version__}
    text = json.dumps(plain({"versions": versions, "cases": cases}), indent=None)
    text = text.replace('{"name"', '\n{"name"')
    (FOLDER / name).write_text(text + "\n")


def main():
    rng = np.random.default_rng(7)
    cases = []
    cases.append(classification_case("four classes", *random_case(rng, 60, 4, 1.2)))
    cases.append(classification_case("two classes", *random_case(rng, 50, 2, 0.8)))
    probabilities, labels = random_case(rng, 40, 5, 1.0)
    labels[labels == 3] = 1  # class 3 is never a label
    cases.append(classification_case("a class without examples", probabilities, labels))
    probabilities, labels = random_case(rng, 40, 4, 1.0)
    labels[labels == 2] = 0
    probabilities[:, 2] = 0  # nor ever predicted
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    cases.append(classification_case("a class that never occurs", probabilities, labels))
    grid = rng.integers(0, 5, (48, 3)).astype(float)
    grid[grid.sum(axis=1) == 0] = 1
    grid = np.round(grid / grid.sum(axis=1, keepdims=True) * 4) / 4
    grid[:, 2] = np.clip(1 - grid[:, 0] - grid[:, 1], 0, 1)
    grid /= grid.sum(axis=1, keepdims=True)
    cases.append(classification_case("many ties", grid, rng.integers(0, 3, 48)))
    cases.append(classification_case("all equal", np.full((6, 3), 1 / 3), [0, 1, 2, 2, 1, 0]))
    cases.append(classification_case("one example, right", [[0.1, 0.7, 0.2]], [1]))
    cases.append(classification_case("one example, wrong", [[0.1, 0.7, 0.2]], [2]))
    cases.append(classification_case("certain", np.eye(3)[[0, 1, 2, 2, 0]], [0, 1, 2, 0, 0]))
    cases.append(classification_case(
        "one class only", [[0.8, 0.2], [0.6, 0.4], [0.9, 0.1]], [0, 0, 0]))
    cases.append(classification_case(
        "bin edges", [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4], [0.8, 0.2], [1.0, 0.0], [0.5, 0.5]],
        [1, 0, 0, 1, 0, 1]))
    write("classification.json", cases)

    cases = []
    x = rng.normal(size=40) * 3 + 1
    series = {
        "noisy line": (x, x * 0.9 + rng.normal(size=40)),
        "even count": ([1.0, 2, 3, 4], [1.5, 2, 2, 5]),
        "ties": ([1.0, 1, 2, 2, 3, 3], [1.0, 2, 2, 2, 3, 5]),
        "zeros in the target": ([0.0, 1, 2], [0.0, 1.5, 1]),
        "constant target, right": ([2.0, 2, 2], [2.0, 2, 2]),
        "constant target, wrong": ([0.5, 0.5, 0.5], [1.0, 2, 2]),
        "constant prediction": ([1.0, 2, 3], [2.0, 2, 2]),
        "one example": ([3.0], [2.5]),
        "large offset": (x + 1e6, x + 1e6 + rng.normal(size=40)),
    }
    for name, (target, predicted) in series.items():
        target, predicted = np.asarray(target), np.asarray(predicted)
        several = len(target) > 1
        pearson = scipy.stats.pearsonr(predicted, target)[0] if several else float("nan")
        spearman = scipy.stats.spearmanr(predicted, target)[0] if several else float("nan")
        cases.append({"name": name, "target": target, "predicted": predicted, "expected": {
            "mse": metrics.mean_squared_error(target, predicted),
            "rmse": metrics.root_mean_squared_error(target, predicted),
            "mae": metrics.mean_absolute_error(target, predicted),
            "r2": metrics.r2_score(target, predicted) if several else float("nan"),
            "median_absolute_error": metrics.median_absolute_error(target, predicted),
            "mean_absolute_percentage_error":
                metrics.mean_absolute_percentage_error(target, predicted),
            "explained_variance": metrics.explained_variance_score(target, predicted),
            "max_error": metrics.max_error(target, predicted),
            "pearson": pearson, "spearman": spearman,
        }})
    write("regression.json", cases)


if __name__ == "__main__":
    main()

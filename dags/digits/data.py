"""scikit-learn's bundled handwritten digits: 1,797 images of 8 x 8 pixels, split into three parts."""

import numpy as np

TRAIN, VALIDATION = 1100, 350


def _split():
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.images[order, :, :, None] / 16).astype("float32")
    labels = digits.target[order].astype("int32")
    ends = [TRAIN, TRAIN + VALIDATION]
    return list(zip(np.split(images, ends), np.split(labels, ends), strict=True))


def load():
    """The (args, kwargs) of `search`."""
    import keras

    train, validation, _ = _split()
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=4)
    return train, {"validation_data": validation, "epochs": 15, "batch_size": 32, "callbacks": [stop]}


def test_images():
    """347 images that the search never sees, with their labels."""
    return _split()[2]

"""The hypermodels for images: as KerasTuner's, on Keras 3, and loadable."""

import importlib

import numpy as np
import pytest

from ktcomponent.errors import ConfigurationError

pytestmark = pytest.mark.slow

CASES = [
    ("HyperResNet", {"input_shape": (64, 64, 3), "classes": 3}, {}),
    ("HyperResNet", {"input_shape": (64, 64, 3), "classes": 3}, {"version": "v1", "pooling": "max"}),
    (
        "HyperResNet",
        {"input_shape": (64, 64, 3), "include_top": False},
        {"version": "next", "conv3_depth": 8},
    ),
    ("HyperXception", {"input_shape": (32, 32, 3), "classes": 3}, {}),
    (
        "HyperXception",
        {"input_shape": (32, 32, 3), "classes": 3},
        {"activation": "selu", "pooling": "flatten"},
    ),
    ("HyperXception", {"input_shape": (32, 32, 3), "include_top": False}, {"kernel_size": 5}),
    ("HyperImageAugment", {"input_shape": (32, 32, 3)}, {"augment_layers": 3}),
    ("HyperImageAugment", {"input_shape": (32, 32, 3), "rotate": [0.2, 0.3], "augment_layers": 0}, {}),
    ("HyperImageAugment", {"input_shape": (8, 8, 1), "contrast": None, "augment_layers": [2, 4]}, {}),
]


@pytest.fixture(scope="module")
def applications():
    return importlib.import_module("ktcomponent.applications")


@pytest.mark.parametrize(("name", "arguments", "values"), CASES)
def test_space_shape_and_size_are_keras_tuners(name, arguments, values):
    outcomes = []
    for package in ("keras_tuner", "ktcomponent"):
        module = importlib.import_module(package)
        hp = module.HyperParameters()
        hp.values.update(values)
        model = getattr(module.applications, name)(**arguments).build(hp)
        optimizer = getattr(model, "optimizer", None)
        compiled = optimizer and (type(optimizer).__name__, float(optimizer.learning_rate))
        outcomes.append((hp.get_config(), model.count_params(), model.output_shape, compiled))
    assert outcomes[1] == outcomes[0]


def test_an_efficientnet_behind_an_augmentation(applications):
    from ktcomponent import HyperParameters

    augmentation = applications.HyperImageAugment(input_shape=(32, 32, 3))
    hypermodel = applications.HyperEfficientNet(
        input_shape=(32, 32, 3), classes=4, augmentation_model=augmentation, weights=None
    )
    hp = HyperParameters()
    model = hypermodel.build(hp)
    assert model.output_shape == (None, 4)
    assert {"version", "pooling", "top_dropout_rate", "learning_rate", "factor_rotate"} <= set(hp.values)


def test_augmentation_changes_each_image_by_itself_and_only_in_training(applications, tmp_path):
    import keras

    from ktcomponent import HyperParameters

    hp = HyperParameters()
    hp.values.update({"augment_layers": 1, "factor_translate_x": 0.4, "factor_contrast": 0.3})
    model = applications.HyperImageAugment(input_shape=(16, 16, 3), rotate=None, translate_y=None).build(hp)
    images = np.random.default_rng(0).random((16, 16, 16, 3)).astype("float32")
    assert np.array_equal(model(images), images)
    changed = [
        not np.allclose(a, b) for a, b in zip(np.array(model(images, training=True)), images, strict=True)
    ]
    assert sum(changed) >= 8
    # Moving along the width leaves the columns' content in the rows where it was.
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(images), images)


def test_a_translation_along_x_moves_columns(applications):
    from ktcomponent import HyperParameters

    hp = HyperParameters()
    hypermodel = applications.HyperImageAugment(
        input_shape=(8, 8, 1),
        rotate=None,
        translate_x=[0.5, 0.5],
        translate_y=None,
        contrast=None,
        augment_layers=0,
    )
    rows = np.repeat(np.arange(8, dtype="float32")[None, :, None, None], 8, axis=2)
    moved = np.array(hypermodel.build(hp)(np.repeat(rows, 4, axis=0), training=True))
    assert np.allclose(moved, np.repeat(rows, 4, axis=0), atol=1e-4)  # each row is constant along x


def test_one_is_tuned(applications, tmp_path):
    from ktcomponent import RandomSearch

    x = np.random.default_rng(0).random((8, 16, 16, 3)).astype("float32")
    y = np.eye(2, dtype="float32")[np.arange(8) % 2]
    hypermodel = applications.HyperXception(input_shape=(16, 16, 3), classes=2)
    tuner = RandomSearch(
        hypermodel,
        "val_accuracy",
        max_trials=1,
        max_model_size=10_000_000,
        seed=0,  # of random configurations one in six is larger than that, and fails
        directory=tmp_path,
        project_name="p",
    )
    tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("HyperResNet", {"classes": 3}, "input_shape"),
        ("HyperXception", {"input_shape": (32, 32, 3)}, "classes"),
        ("HyperEfficientNet", {"input_shape": (32, 32, 3)}, "classes"),
        (
            "HyperEfficientNet",
            {"input_shape": (32, 32, 3), "classes": 2, "augmentation_model": 3},
            "augmentation_model",
        ),
        ("HyperImageAugment", {"input_shape": (32, 32, 3), "rotate": "far"}, "rotate"),
        ("HyperImageAugment", {"input_shape": (32, 32, 3), "augment_layers": 1.5}, "augment_layers"),
    ],
)
def test_arguments_that_can_not_be_are_refused(applications, name, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        getattr(applications, name)(**arguments)

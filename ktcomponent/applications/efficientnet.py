"""`HyperEfficientNet`: pretrained EfficientNets.

Source: M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ktcomponent.applications.image_hypermodel import ImageHyperModel, pooled, require_classes
from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.tuners.hypermodel import HyperModel

IMAGE_SIZES = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "B4": 380, "B5": 456, "B6": 528, "B7": 600}


class HyperEfficientNet(ImageHyperModel):
    """An EfficientNet with a new top, for images of shape (height, width, channels), labels one-hot.

    Tuned: the version (B0 to B7), pooling, dropout and the learning rate. Images are resized to what the version was
    trained with.

    Args:
        input_shape, input_tensor: One of them; see `ImageHyperModel`.
        classes: The number of classes.
        augmentation_model: A model or hypermodel that comes first, for example `HyperImageAugment`.
        weights: "imagenet" (downloaded by Keras), a file, or None for random ones.
        kwargs: See `HyperModel`.

    Raises:
        ConfigurationError: If the input or the number of classes is missing, or the augmentation is no model.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        input_tensor: Any = None,
        classes: int | None = None,
        augmentation_model: Any = None,
        weights: str | None = "imagenet",
        **kwargs: Any,
    ) -> None:
        if not isinstance(augmentation_model, (HyperModel, keras.Model, type(None))):
            raise ConfigurationError(
                f"`augmentation_model` must be a HyperModel or a Keras model, got {augmentation_model!r}."
            )
        super().__init__(input_shape=input_shape, input_tensor=input_tensor, **kwargs)
        require_classes(self, classes)
        self.classes = classes
        self.augmentation_model = augmentation_model
        self.weights = weights

    def build(self, hp: HyperParameters) -> Any:
        inputs, x = self.inputs()
        if isinstance(self.augmentation_model, HyperModel):
            x = self.augmentation_model.build(hp)(x)
        elif self.augmentation_model is not None:
            x = self.augmentation_model(x)
        version = hp.Choice("version", list(IMAGE_SIZES), default="B0")
        size = IMAGE_SIZES[version]
        x = layers.Resizing(size, size, interpolation="bilinear")(x)
        network = getattr(keras.applications, f"EfficientNet{version}")
        x = network(include_top=False, input_tensor=x, weights=self.weights).output
        x = pooled(x, hp.Choice("pooling", ["avg", "max"], default="avg"))
        dropout = hp.Float("top_dropout_rate", min_value=0.2, max_value=0.8, step=0.2, default=0.2)
        x = layers.Dropout(dropout, name="top_dropout")(x)
        x = layers.Dense(self.classes, activation="softmax", name="probs")(x)
        model = keras.Model(inputs, x, name="EfficientNet")
        self._compile(model, hp)
        return model

    def _compile(self, model: Any, hp: HyperParameters) -> None:
        """Compiles the model; to be overridden for another optimizer or loss."""
        rate = hp.Choice("learning_rate", [0.1, 0.01, 0.001], default=0.01)
        optimizer = keras.optimizers.SGD(momentum=0.1, learning_rate=rate)
        model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])

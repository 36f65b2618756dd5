"""`HyperXception`: networks of separable convolutions.

Source: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ktcomponent.applications.image_hypermodel import ImageClassifier, channel_axis
from ktcomponent.hyperparameters import HyperParameters


class HyperXception(ImageClassifier):
    """An Xception-like network for images of shape (height, width, channels), labels one-hot.

    Tuned: activation, the sizes of the convolutions, the number of blocks, pooling, and with a top its dense layers
    and the learning rate.

    Its arguments are those of `ImageClassifier`.
    """

    def build(self, hp: HyperParameters) -> Any:
        activation = hp.Choice("activation", ["relu", "selu"])
        inputs, x = self.inputs()
        filters = hp.Choice("conv2d_num_filters", [32, 64, 128], default=64)
        kernel_size = hp.Choice("kernel_size", [3, 5])
        strides = hp.Choice("initial_strides", [2])
        x = _activated(layers.Conv2D, x, activation, filters, kernel_size, strides=strides)

        filters = hp.Int("sep_num_filters", 128, 768, step=128, default=256)
        for _ in range(hp.Int("num_residual_blocks", 2, 8, default=4)):
            x = _residual(x, filters, activation)
        x = _residual(x, 2 * filters, activation, stride=2)

        pooling = hp.Choice("pooling", ["avg", "flatten", "max"])
        if pooling == "flatten":
            x = layers.Flatten()(x)
        elif pooling == "avg":
            x = layers.GlobalAveragePooling2D()(x)
        else:
            x = layers.GlobalMaxPooling2D()(x)
        if not self.include_top:
            return keras.Model(inputs, x, name="Xception")

        number = hp.Int("num_dense_layers", 1, 3)
        dropout = hp.Float("dropout_rate", 0.0, 0.6, step=0.1, default=0.5)
        normalize = hp.Choice("dense_use_bn", [True, False])
        for _ in range(number):
            x = _dense(x, self.classes, activation, normalize, dropout)
        x = layers.Dense(self.classes, activation="softmax")(x)
        model = keras.Model(inputs, x, name="Xception")
        model.compile(
            optimizer=keras.optimizers.Adam(hp.Choice("learning_rate", [1e-3, 1e-4, 1e-5])),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model


def _activated(layer: Any, x: Any, activation: str, filters: int, kernel_size: int, **kwargs: Any) -> Any:
    """A convolution with its activation: self-normalizing with selu, batch-normalized with relu."""
    if activation == "selu":
        kinds = ("depthwise_initializer", "pointwise_initializer")
        names = kinds if layer is layers.SeparableConv2D else ("kernel_initializer",)
        kwargs |= dict.fromkeys(names, "lecun_normal")
        return layer(filters, kernel_size, padding="same", activation="selu", **kwargs)(x)
    x = layer(filters, kernel_size, padding="same", use_bias=False, **kwargs)(x)
    x = layers.BatchNormalization(axis=channel_axis())(x)
    return layers.Activation("relu")(x)


def _residual(x: Any, filters: int, activation: str, stride: int = 1) -> Any:
    """Two separable convolutions beside a shortcut; with a stride, pooled."""
    shortcut = x
    if stride > 1 or x.shape[channel_axis()] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=stride, padding="same")(x)
    for _ in range(2):
        x = _activated(layers.SeparableConv2D, x, activation, filters, 3)
    if stride > 1:
        x = layers.MaxPooling2D(3, strides=stride, padding="same")(x)
    return layers.add([x, shortcut])


def _dense(x: Any, units: int | None, activation: str, normalize: bool, dropout: float) -> Any:
    if activation == "selu":
        x = layers.Dense(units, activation="selu", kernel_initializer="lecun_normal")(x)
    else:
        x = layers.Dense(units, activation="relu")(x)
        x = layers.BatchNormalization()(x) if normalize else x
    return layers.Dropout(dropout)(x) if dropout else x

"""`HyperResNet`: residual networks.

Sources: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (v1); K. He et al., "Identity Mappings
in Deep Residual Networks", ECCV 2016 (v2); S. Xie et al., "Aggregated Residual Transformations for Deep Neural
Networks", CVPR 2017 (next).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from ktcomponent.applications.image_hypermodel import ImageClassifier, channel_axis, pooled
from ktcomponent.hyperparameters import HyperParameters

GROUPS = 32


class HyperResNet(ImageClassifier):
    """A residual network for images of shape (height, width, channels), labels one-hot.

    Tuned: the version (v1, v2, next), the depth of two stages, the pooling, and with a top the optimizer and its
    learning rate.

    Its arguments are those of `ImageClassifier`.
    """

    def build(self, hp: HyperParameters) -> Any:
        version = hp.Choice("version", ["v1", "v2", "next"], default="v2")
        conv3_depth = hp.Choice("conv3_depth", [4, 8])
        conv4_depth = hp.Choice("conv4_depth", [6, 23, 36])
        inputs, x = self.inputs()

        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = layers.Conv2D(64, 7, strides=2, use_bias=version != "next", name="conv1_conv")(x)
        if version != "v2":
            x = _normalized(x, "conv1")
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)

        block, filters = _VERSIONS[version]
        depths = (3, conv3_depth, conv4_depth, 3)
        for stage, (width, depth) in enumerate(zip(filters, depths, strict=True)):
            # Version 1 halves the image as a stage begins, but for the first; the others do as one ends or begins.
            for number in range(1, depth + 1):
                stride = _stride(version, stage, number, depth)
                x = block(x, width, stride, number == 1, f"conv{stage + 2}_block{number}")
        if version == "v2":
            x = _normalized(x, "post")
        x = pooled(x, hp.Choice("pooling", ["avg", "max"], default="avg"))

        if not self.include_top:
            return keras.Model(inputs, x, name="ResNet")
        x = layers.Dense(self.classes, activation="softmax", name="probs")(x)
        model = keras.Model(inputs, x, name="ResNet")
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"], default="adam"))
        optimizer.learning_rate = hp.Choice("learning_rate", [0.1, 0.01, 0.001], default=0.01)
        model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
        return model


def _stride(version: str, stage: int, number: int, depth: int) -> int:
    if version == "v2":
        return 2 if number == depth and stage < 3 else 1
    keeps = (0,) if version == "v1" else (3,)
    return 2 if number == 1 and stage not in keeps else 1


def _normalized(x: Any, name: str, activation: bool = True) -> Any:
    x = layers.BatchNormalization(axis=channel_axis(), epsilon=1.001e-5, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if activation else x


def _block_v1(x: Any, filters: int, stride: int, first: bool, name: str) -> Any:
    """A bottleneck: 1x1, 3x3, 1x1; normalized after each convolution."""
    shortcut = x
    if first:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = _normalized(shortcut, f"{name}_0", activation=False)
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = _normalized(x, f"{name}_1")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = _normalized(x, f"{name}_2")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = _normalized(x, f"{name}_3", activation=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _block_v2(x: Any, filters: int, stride: int, first: bool, name: str) -> Any:
    """A bottleneck that is normalized before it begins, so that the shortcut stays an identity."""
    before = _normalized(x, f"{name}_preact")
    if first:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(before)
    else:
        shortcut = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x) if stride > 1 else x
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(before)
    x = _normalized(x, f"{name}_1")
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(x)
    x = _normalized(x, f"{name}_2")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _block_next(x: Any, filters: int, stride: int, first: bool, name: str) -> Any:
    """A bottleneck whose 3x3 convolution has 32 groups."""
    wide = 64 // GROUPS * filters
    shortcut = x
    if first:
        shortcut = layers.Conv2D(wide, 1, strides=stride, use_bias=False, name=f"{name}_0_conv")(x)
        shortcut = _normalized(shortcut, f"{name}_0", activation=False)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(x)
    x = _normalized(x, f"{name}_1")
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, groups=GROUPS, use_bias=False, name=f"{name}_2_conv")(x)
    x = _normalized(x, f"{name}_2")
    x = layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_3_conv")(x)
    x = _normalized(x, f"{name}_3", activation=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


_Block = Callable[[Any, int, int, bool, str], Any]
_VERSIONS: dict[str, tuple[_Block, tuple[int, int, int, int]]] = {
    "v1": (_block_v1, (64, 128, 256, 512)),
    "v2": (_block_v2, (64, 128, 256, 512)),
    "next": (_block_next, (64, 256, 512, 1024)),
}

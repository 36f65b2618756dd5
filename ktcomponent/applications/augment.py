"""`HyperImageAugment`: image augmentation to be tuned.

Source: E. D. Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS 2020.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from ktcomponent.applications.image_hypermodel import ImageHyperModel
from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters

_TRANSFORMS: dict[str, Any] = {
    "rotate": lambda factor: layers.RandomRotation(factor),
    "translate_x": lambda factor: layers.RandomTranslation(0, factor),
    "translate_y": lambda factor: layers.RandomTranslation(factor, 0),
    "contrast": lambda factor: layers.RandomContrast(factor),
}


@keras.saving.register_keras_serializable(package="ktcomponent")
class RandAugment(layers.Layer):  # type: ignore[misc]
    """Applies to each image one transform, drawn with equal chances; only while training.

    Args:
        transforms: Names of transforms.
        factors: The strength of each, in [0, 1]; one of 0 leaves an image as it is.
        kwargs: See `keras.layers.Layer`.
    """

    def __init__(self, transforms: Sequence[str], factors: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transforms = list(transforms)
        self.factors = list(factors)
        self._seed_generator = keras.random.SeedGenerator()
        self._layers_of = [
            _TRANSFORMS[name](factor) if factor else layers.Identity()
            for name, factor in zip(self.transforms, self.factors, strict=True)
        ]

    def build(self, input_shape: Any) -> None:
        for layer in self._layers_of:
            layer.build(input_shape)
        super().build(input_shape)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Images of shape (n, height, width, channels), transformed."""
        if not training:
            return images
        n = len(self._layers_of)
        drawn = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), maxval=n, seed=self._seed_generator)
        chosen = ops.cast(ops.floor(drawn), "int32")
        result = images
        for i, layer in enumerate(self._layers_of):
            result = ops.where(ops.equal(chosen, i), layer(images, training=True), result)
        return result

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "transforms": self.transforms, "factors": self.factors}


class HyperImageAugment(ImageHyperModel):
    """Augments images of shape (height, width, channels); its output has their shape.

    Each strength is a number (searched from 0 to it), a pair (searched between the two) or None (not used); its
    hyperparameter is `factor_<name>`.

    Args:
        input_shape, input_tensor: One of them; see `ImageHyperModel`.
        rotate: The largest rotation, as a fraction of a full turn, either way.
        translate_x: The largest shift to the left or right, as a fraction of the width.
        translate_y: The largest shift up or down, as a fraction of the height.
        contrast: The largest change of contrast, as a fraction.
        augment_layers: How many times in a row each image gets one transform, drawn at random (RandAugment): a number
            (searched from 1 to it) or a pair. With 0 or None each image gets all transforms instead.
        kwargs: See `HyperModel`.

    Raises:
        ConfigurationError: If the input is missing or an argument is no number or pair.

    Example:

        HyperImageAugment(input_shape=(32, 32, 3), rotate=[0.2, 0.3], translate_x=0.1, translate_y=None)
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        input_tensor: Any = None,
        rotate: Any = 0.5,
        translate_x: Any = 0.4,
        translate_y: Any = 0.4,
        contrast: Any = 0.3,
        augment_layers: Any = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape=input_shape, input_tensor=input_tensor, **kwargs)
        given = {
            "rotate": rotate,
            "translate_x": translate_x,
            "translate_y": translate_y,
            "contrast": contrast,
        }
        self.transforms = [
            (name, _range(name, value, 0, numbers.Real)) for name, value in given.items() if value
        ]
        self.layers = _range("augment_layers", augment_layers, 1, int) if augment_layers else None
        self.model_name = "image_rand_augment" if self.layers else "image_augment"

    def build(self, hp: HyperParameters) -> Any:
        inputs, x = self.inputs()
        if self.layers is not None:
            least, most = self.layers
            number = hp.Int("augment_layers", least, most, default=least)
            factors = [hp.Float(f"factor_{name}", lo, hi, default=lo) for name, (lo, hi) in self.transforms]
            for _ in range(number):
                x = RandAugment([name for name, _ in self.transforms], factors)(x)
        else:
            for name, (lo, hi) in self.transforms:
                factor = hp.Float(f"factor_{name}", lo, hi, step=0.05, default=lo)
                x = _TRANSFORMS[name](factor)(x) if factor else x
        return keras.Model(inputs, x, name=self.model_name)


def _range(name: str, given: Any, least: int, kind: Any) -> tuple[Any, Any]:
    pair = tuple(given) if isinstance(given, (list, tuple)) else (least, given)
    if len(pair) != 2 or not all(isinstance(bound, kind) for bound in pair):
        what = "a whole number" if kind is int else "a number"
        raise ConfigurationError(f"`{name}` must be {what} or a pair of those, got {given!r}.")
    return pair

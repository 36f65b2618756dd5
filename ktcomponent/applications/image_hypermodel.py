"""What all hypermodels for images share: their input, pooling, and checks."""

from __future__ import annotations

from typing import Any

import keras

from ktcomponent.errors import ConfigurationError
from ktcomponent.tuners.hypermodel import HyperModel


class ImageHyperModel(HyperModel):
    """A hypermodel whose input is a batch of images.

    Args:
        input_shape: (height, width, channels) of an image; or
        input_tensor: a Keras tensor to build on.
        kwargs: See `HyperModel`.

    Raises:
        ConfigurationError: If neither is given.
    """

    def __init__(
        self, input_shape: tuple[int, ...] | None = None, input_tensor: Any = None, **kwargs: Any
    ) -> None:
        if input_shape is None and input_tensor is None:
            raise ConfigurationError(
                f"{type(self).__name__} needs `input_shape`, for example (32, 32, 3), or `input_tensor`."
            )
        self.input_shape = input_shape
        self.input_tensor = input_tensor
        super().__init__(**kwargs)

    def inputs(self) -> tuple[Any, Any]:
        """The model's inputs, and the tensor to go on with."""
        if self.input_tensor is not None:
            return keras.utils.get_source_inputs(self.input_tensor), self.input_tensor
        images = keras.layers.Input(shape=self.input_shape)
        return images, images


class ImageClassifier(ImageHyperModel):
    """A hypermodel that classifies images, or with `include_top=False` ends with one vector an image.

    Args:
        include_top: Whether the model ends with a classifier and is compiled.
        input_shape, input_tensor: One of them; see `ImageHyperModel`.
        classes: The number of classes; needed with a top.
        kwargs: See `HyperModel`.

    Raises:
        ConfigurationError: If the input or the number of classes is missing.
    """

    def __init__(
        self,
        include_top: bool = True,
        input_shape: tuple[int, ...] | None = None,
        input_tensor: Any = None,
        classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape=input_shape, input_tensor=input_tensor, **kwargs)
        if include_top:
            require_classes(self, classes)
        self.include_top = include_top
        self.classes = classes


def require_classes(hypermodel: HyperModel, classes: int | None) -> None:
    """Refuses to classify into no classes.

    Raises:
        ConfigurationError: If `classes` is missing.
    """
    if not classes:
        raise ConfigurationError(f"{type(hypermodel).__name__} needs `classes`, the number of classes.")


def pooled(x: Any, pooling: str) -> Any:
    """One vector an image: the average or the maximum over all places."""
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.layers.GlobalMaxPooling2D(name="max_pool")(x)


def channel_axis() -> int:
    return 3 if keras.config.image_data_format() == "channels_last" else 1

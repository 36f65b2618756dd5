"""A small convolutional network with seven hyperparameters, two of them conditional."""

import keras


def build(hp):
    """Builds and compiles the model for one trial."""
    model = keras.Sequential([keras.Input((8, 8, 1))])
    for block in range(hp.Int("blocks", 1, 2)):
        filters = hp.Choice("filters", [16, 32]) * (block + 1)
        model.add(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    head = hp.Choice("head", ["linear", "hidden"])
    with hp.conditional_scope("head", ["hidden"]):
        if head == "hidden":
            model.add(keras.layers.Dense(hp.Int("units", 32, 128, step=32), activation="relu"))
            model.add(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)))
    model.add(keras.layers.Dense(10, activation="softmax"))
    optimizer = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[
        hp.Choice("optimizer", ["adam", "rmsprop"])
    ]
    rate = hp.Float("learning_rate", 1e-3, 1e-2, sampling="log")
    model.compile(optimizer(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

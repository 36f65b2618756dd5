"""KerasTuner's module names, for programs that import from `keras_tuner.engine`."""

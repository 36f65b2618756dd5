"""An objective that stays in TensorFlow's C++ for a minute, where no Python signal handler runs."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""


def objective(hp):
    import tensorflow as tf

    size = hp.Int("size", 1000, 1001)

    @tf.function
    def work(x):
        for _ in tf.range(100_000):
            x = tf.linalg.l2_normalize(x @ x)
        return tf.reduce_sum(x)

    print("in TensorFlow", flush=True)
    return float(work(tf.ones((size, size))))

"""What of a training is known to be resumable, and what is refused."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import ml_dtypes  # noqa: E402

from ktcomponent.tuners import callback_states as states  # noqa: E402
from ktcomponent.tuners.resume import _check_model, _kept_result  # noqa: E402


class Plain(keras.callbacks.Callback):
    pass


def nested(callback):
    callback.inner = type("Inner", (), {})()
    callback.inner.n = 0

    def change():
        callback.inner.n += 1

    return change


def keyed(callback):
    callback.counts = {0: 1}

    def change():
        callback.counts[0] += 1

    return change


def array(callback):
    callback.seen = np.zeros(3)

    def change():
        callback.seen[1] += 1

    return change


@pytest.mark.parametrize("keep", [nested, keyed, array])
def test_a_state_is_noticed_wherever_it_is(keep):
    callback = Plain()
    change = keep(callback)
    watched = states.Watched([callback])
    watched.check()
    change()
    with pytest.raises(states.CannotResume, match="Plain keeps state"):
        watched.check()


def test_what_a_lambda_closes_over_is_state():
    count = 0

    def begin(epoch, logs):
        nonlocal count
        count += 1

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    watched = states.Watched([callback])
    callback.on_epoch_begin(0, None)
    with pytest.raises(states.CannotResume, match="LambdaCallback keeps state"):
        watched.check()


def test_attributes_without_a_length_do_no_harm():
    callback = Plain()
    callback.scalar, callback.kind, callback.logger = keras.ops.zeros(()), dict, print
    watched = states.Watched([callback])
    watched.check()


def test_arrays_of_all_types_come_back_and_are_copies():
    value = np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3)
    live = np.zeros(2)
    arrays = {}
    packed = states.pack({"a": value, "b": live}, "k", arrays)
    live += 1
    back = states.unpack(packed, arrays)
    assert back["a"].dtype == value.dtype
    assert back["a"].tolist() == value.tolist()
    assert back["b"].tolist() == [0, 0]
    with pytest.raises(TypeError):
        states.pack(np.array([object()]), "k", arrays)


def test_a_checkpoint_chooses_no_places():
    callback = keras.callbacks.ModelCheckpoint("here.keras")
    kept = [
        {"class": "ModelCheckpoint", "state": {"dict": {"filepath": "/elsewhere", "_model": 1, "best": 2.0}}}
    ]
    states.set_states([callback], kept, {})
    assert callback.filepath == "here.keras"


def test_results_that_are_no_numbers_refuse_checkpoints_and_not_the_trial():
    assert _kept_result({"loss": 1.0})["plain"]
    for result in ({"loss": object()}, {"loss": np.zeros(3)}):
        with pytest.raises(states.CannotResume):
            _kept_result(result)


def test_models_with_a_state_of_their_own_are_refused():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.other = keras.optimizers.SGD()

    with pytest.raises(states.CannotResume, match=r"optimizers of its own \(other\)"):
        _check_model(Two())
    with pytest.raises(states.CannotResume, match="stateful layer"):
        _check_model(keras.Sequential([keras.layers.GRU(2, stateful=True)]))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse")
    _check_model(model)

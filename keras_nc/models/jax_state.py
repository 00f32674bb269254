"""Keep a model usable after an error, on JAX."""

import contextlib

import keras


@contextlib.contextmanager
def keeps_variables(model):
    """Give a model's variables their values back after an error.

    Keras takes the values out of the variables while it trains on JAX, to save
    memory, and keeps them in a state of its own. After an error before the end
    of the first step, or in `evaluate` and `predict`, it would not put them
    back. There is no public way to see that state, so this is the one place
    that knows its names.

    Args:
        model: A `DecoderCausalLM`.
    """
    model.forget_stale_functions()
    if keras.backend.backend() != "jax":
        yield
        return
    # Called inside of `fit`, by a callback: what has been learned comes first.
    model.jax_state_sync()
    model._jax_state = None
    variables = [*model.variables, *model.metrics_variables]
    if model.optimizer is not None:
        variables += model.optimizer.variables
    before = [(variable, variable.value) for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in before:
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise

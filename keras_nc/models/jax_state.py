"""Keep a model usable after an error, on JAX."""

import contextlib

import keras


@contextlib.contextmanager
def keeps_variables(model):
    """Restore the values of a model's variables after an error.

    To save memory while training on JAX, Keras moves the values of variables to
    a state of its own. After an error before the end of the first step, or in
    `evaluate` or `predict`, it does not put them back. That state has no public
    interface, so only this function knows its names.

    Args:
        model: A `DecoderCausalLM`.
    """
    model.forget_stale_functions()
    if keras.backend.backend() != "jax":
        yield
        return
    # Inside `fit`, when a callback calls this, keep what has been learned.
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

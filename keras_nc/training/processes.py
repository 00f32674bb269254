"""Several processes that train one model, on JAX."""

import contextlib

import keras
import numpy as np

from keras_nc.coding.checks import as_integer


def initialize_processes(
    coordinator=None, num_processes=None, process_id=None, seed=0
):
    """Make this process one of several that train one model, on JAX.

    Call it before anything is computed, in every process. Each then sees the
    devices of all.

    Args:
        coordinator: str. Address of process 0, such as `"10.0.0.1:1234"`;
            `None` for environments that JAX knows, such as TPU pod slices
            and SLURM, which tell the numbers, too.
        num_processes: int. How many processes there are.
        process_id: int. Number of this process, from 0.
        seed: int. Seed of the initial weights, the same in every process.

    Raises:
        ValueError: If the backend is not JAX, or a number is missing.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "Several processes train one model on JAX only. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Set KERAS_BACKEND=jax."
        )
    given = (coordinator, num_processes, process_id)
    if any(x is None for x in given) and any(x is not None for x in given):
        raise ValueError(
            "Give the coordinator, the number of processes and the number of "
            "this process, or none of them where the environment tells them. "
            f"Received: coordinator={coordinator}, "
            f"num_processes={num_processes}, process_id={process_id}"
        )
    if coordinator is not None:
        num_processes = as_integer("num_processes", num_processes, 1)
        process_id = as_integer("process_id", process_id, 0, num_processes - 1)
    seed = as_integer("seed", seed, 0)
    given = (coordinator, num_processes, process_id)
    import jax

    # Of no matter on accelerators. On CPUs, collectives of several steps at
    # once, as in `evaluate`, may wait for each other for ever.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # Before, for otherwise Keras draws a seed, by a collective of all CPUs.
    keras.utils.set_random_seed(seed)
    keras.distribution.initialize(*given)


def num_processes():
    """How many processes train together; 1 but on JAX."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def is_first_process():
    """Whether this process writes the files: process 0."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return jax.process_index() == 0


def check_same_step(step):
    """Raise a ValueError unless all processes go on from the same step."""
    if num_processes() == 1:
        return
    from jax.experimental import multihost_utils

    steps = multihost_utils.process_allgather(np.array(step)).tolist()
    if len(set(steps)) > 1:
        raise ValueError(
            "All processes must read the same checkpoint. Received: runs at "
            f"the steps {steps}. Use a folder that all of them share."
        )


@contextlib.contextmanager
def one_writer(model):
    """Let one of several processes write a model's files.

    All processes must enter. Inside, weights and optimizer state are whole in
    every process, so that the one that writes can read them all.

    Args:
        model: A `keras.Model`.

    Yields:
        bool: whether this process writes.

    Example:
    >>> model = keras.Sequential()
    >>> with one_writer(model) as writes:
    ...     print(writes)
    True
    """
    if num_processes() == 1:
        yield True
        return
    from jax.experimental import multihost_utils

    variables = list(model.variables)
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    spread = [
        (variable, variable.value)
        for variable in variables
        if not variable.value.is_fully_replicated
    ]
    distribution = keras.distribution.distribution()
    try:
        for variable, value in spread:
            variable._value = multihost_utils.process_allgather(
                value, tiled=True
            )
        # Saving creates objects to compare with, and variables of these would
        # have to be agreed on with the processes that do not save.
        keras.distribution.set_distribution(None)
        yield is_first_process()
    finally:
        keras.distribution.set_distribution(distribution)
        for variable, value in spread:
            variable._value = value

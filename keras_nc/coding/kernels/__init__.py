"""Kernels that Numba compiles.

Import these modules inside the functions that use them: importing one imports
Numba.
"""


def jit(function):
    """Compile a kernel that runs without the GIL.

    The machine code is cached on disk where that is possible.
    """
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder that the cache can be written to
        return numba.njit(nogil=True)(function)


def inline(function):
    """Put a small kernel into the code of its callers, before it is compiled.

    Else a call in a hot loop may count references to each array.
    """
    import numba

    return numba.njit(inline="always")(function)

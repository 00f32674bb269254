"""Compile kernels with Numba, cached on disk where that is possible."""


def jit(function):
    """Compile a kernel that runs without the GIL.

    The module that uses this decorator imports Numba when it is imported, so
    kernel modules are imported inside functions, at first use.
    """
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder that the cache can be written to
        return numba.njit(nogil=True)(function)

"""Kernels of entropy models that Numba compiles.

Import these modules inside the functions that use them: importing one imports
Numba.
"""

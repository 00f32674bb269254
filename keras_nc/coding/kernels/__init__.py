"""Kernels that Numba compiles.

Import these modules inside the functions that use them: importing one imports
Numba.
"""

import contextlib
import pathlib
import time


def drop_old_code(folders):
    """Delete cached machine code that is older than a source file.

    Numba compiles a kernel anew if its own file has changed, but not if a
    kernel of another file has, which it calls. Such a mixture may crash.

    Args:
        folders: paths of the folders of kernels that call each other.
    """
    sources = [path for folder in folders for path in folder.glob("*.py")]
    times = [path.stat().st_mtime for path in sources]
    # A wrong clock must not delete the code at each start.
    newest = max((t for t in times if t <= time.time()), default=0)
    for folder in folders:
        for path in folder.glob("__pycache__/*.nb[ic]"):
            # Another process may delete it, or it may not be ours to delete.
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < newest:
                    path.unlink()


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


def make_prefetch():
    """Return a function for kernels that loads a table's row into the cache.

    `prefetch(table, row)` is only a hint, so the row need not exist.
    """
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def prefetch(typing_context, table, row):
        def generate(context, builder, signature, arguments):
            table_type, _ = signature.args
            fields = context.make_array(table_type)(
                context, builder, arguments[0]
            )
            size = builder.extract_value(fields.strides, 0)
            address = builder.add(
                builder.ptrtoint(fields.data, ir.IntType(64)),
                builder.mul(size, arguments[1]),
            )
            number = ir.IntType(32)
            pointer = ir.IntType(8).as_pointer()
            function = builder.module.declare_intrinsic(
                "llvm.prefetch",
                [pointer],
                ir.FunctionType(
                    ir.VoidType(), [pointer, number, number, number]
                ),
            )
            # A read (0), kept in all caches (3), of data (1).
            hints = [number(0), number(3), number(1)]
            builder.call(function, [builder.inttoptr(address, pointer), *hints])
            return context.get_dummy_value()

        return types.void(table, row), generate

    return prefetch


_HERE = pathlib.Path(__file__).parent
drop_old_code([_HERE, _HERE.parents[1] / "entropy_models" / "kernels"])

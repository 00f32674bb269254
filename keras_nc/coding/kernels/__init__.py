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

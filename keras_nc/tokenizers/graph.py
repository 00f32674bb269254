"""Run tokenizers inside tf.data: eager code in a `tf.numpy_function`."""


def tokenize(tokenizer, inputs):
    """Encode string tensors.

    Args:
        tokenizer: A `SchemeTokenizer`.
        inputs: A string tensor of rank 0 or 1.

    Returns:
        An int32 tensor, or a ragged one.
    """
    import tensorflow as tf

    def encode(documents):
        ids, offsets = tokenizer.scheme.encode_batch(documents.tolist())
        return ids.astype("int32"), offsets

    inputs = tf.convert_to_tensor(inputs)
    if inputs.shape.rank not in (0, 1):
        raise ValueError(
            "A string tensor must have rank 0 or 1. "
            f"Received: shape={inputs.shape}"
        )
    # stateful=False: the function is pure, so tf.data may run it anywhere.
    ids, offsets = tf.numpy_function(
        encode,
        [tf.reshape(inputs, [-1])],
        [tf.int32, tf.int64],
        stateful=False,
    )
    ids = tf.ensure_shape(ids, [None])
    offsets = tf.ensure_shape(offsets, [None])
    rows = tf.RaggedTensor.from_row_splits(ids, offsets, validate=False)
    if tokenizer.sequence_length is not None:
        rows = rows[:, : tokenizer.whole_length()]
        rows = rows.to_tensor(shape=[None, tokenizer.sequence_length])
        if inputs.shape.rank == 1:
            rows.set_shape([inputs.shape[0], tokenizer.sequence_length])
    return rows if inputs.shape.rank == 1 else rows[0]


def detokenize(scheme, inputs, skip_special):
    """Decode tensors of ids.

    Args:
        scheme: A `Scheme`.
        inputs: An int tensor of rank 1 or 2, dense or ragged.
        skip_special: bool. Whether to drop special ids.

    Returns:
        A string tensor with one rank less.
    """
    import tensorflow as tf

    def decode(ids):
        return scheme.decode(ids, skip_special)

    def decode_row(row):
        text = tf.numpy_function(decode, [row], tf.string, stateful=False)
        return tf.ensure_shape(text, [])

    if inputs.shape.rank == 1:
        return decode_row(inputs)
    return tf.map_fn(
        decode_row,
        inputs,
        fn_output_signature=tf.TensorSpec([], tf.string),
    )

"""SentencePiece as a strong baseline: trained to keep text as it is."""

import io
import operator

from keras_nc.tokenizers.sentencepiece import SPACE_MARK
from keras_nc.tokenizers.sentencepiece import SentencePieceTokenizer

MODEL_TYPES = ("unigram", "bpe")
#: SentencePiece says nothing when it leaves out longer sentences.
MAX_SENTENCE_CHARACTERS = 1024


def train_sentencepiece(documents, vocabulary_size, model_type="unigram"):
    """Train SentencePiece pieces on documents.

    Byte fallback, no normalisation, pieces of nothing but whitespace allowed:
    what makes it lossless also makes it strong on text with indents and blank
    lines.

    Args:
        documents: Iterable of bytes; what is not UTF-8 is left out.
        vocabulary_size: int. Pieces, 256 bytes and special ids included.
        model_type: str. `"unigram"` or `"bpe"`.

    Returns:
        A `SentencePieceTokenizer`.

    Raises:
        ValueError: If the type is unknown, or SentencePiece finds no
            vocabulary of this size in the text.

    Example:
    >>> text = b"She sells sea shells by the sea shore. " * 20
    >>> tokenizer = train_sentencepiece([text], 290, model_type="bpe")
    >>> tokenizer.detokenize(tokenizer("sea shore"))
    b'sea shore'
    """
    import sentencepiece

    if model_type not in MODEL_TYPES:
        raise ValueError(
            f"`model_type` must be one of {MODEL_TYPES}. "
            f"Received: model_type={model_type!r}"
        )
    vocabulary_size = operator.index(vocabulary_size)
    proto = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(documents),
            model_writer=proto,
            model_type=model_type,
            vocab_size=vocabulary_size,
            pad_id=0,
            bos_id=1,
            eos_id=2,
            unk_id=3,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            # A piece for the space, in text that has none, too.
            required_chars=SPACE_MARK,
            max_sentence_length=4 * MAX_SENTENCE_CHARACTERS,  # in bytes
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(
            f"SentencePiece finds no {vocabulary_size:,} pieces in this text "
            f"({error}). Ask for another `vocabulary_size`, or give more text."
        ) from error
    return SentencePieceTokenizer(proto.getvalue())


def _sentences(documents):
    """Lines, in pieces short enough that SentencePiece takes them."""
    for document in documents:
        text = document.decode("utf-8", errors="ignore").replace("\0", "")
        for line in text.splitlines():
            for start in range(0, len(line), MAX_SENTENCE_CHARACTERS):
                yield line[start : start + MAX_SENTENCE_CHARACTERS]

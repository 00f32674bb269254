import pytest

from keras_nc.tokenizers import train_sentencepiece


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_training_gives_a_lossless_tokenizer(text, model_type):
    tokenizer = train_sentencepiece([text[:100_000]], 600, model_type)
    assert tokenizer.vocabulary_size() == 600
    odd = b"    indented\n\n\ttabs \xff\x00 and \xe2\x96\x81 a mark"
    for document in (text[100_000:110_000], odd, b""):
        ids, _ = tokenizer.encode_batch([document])
        assert tokenizer.detokenize(ids) == document


def test_runs_of_spaces_become_pieces(text):
    tokenizer = train_sentencepiece([text[:100_000]], 600, "bpe")
    assert len(tokenizer(" " * 8)) < 8


def test_lines_of_any_length_are_learned_from():
    tokenizer = train_sentencepiece([b"abracadabra" * 2_000], 270, "bpe")
    assert len(tokenizer("abracadabra" * 10)) < 60


def test_odd_requests_are_refused(text):
    with pytest.raises(ValueError, match="model_type='word'"):
        train_sentencepiece([text], 600, "word")
    with pytest.raises(ValueError, match="1,000,000 pieces"):
        train_sentencepiece([b"little text"], 1_000_000, "bpe")

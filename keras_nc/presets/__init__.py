"""The names of the built-in presets, as keras-hub lists them.

Each folder here is a preset as `save_to_preset` writes it, with weights of two
bytes each, and a `README.md`, its model card.
"""

import os
import pathlib

_FOLDER = pathlib.Path(__file__).parent


def _entries(descriptions):
    """Return entries as keras-hub keeps them, by name.

    keras-hub takes a path in the place of a handle, and downloads nothing.
    """
    return {
        name: {
            "metadata": {"description": description, **metadata},
            "kaggle_handle": str(_FOLDER / name),
        }
        for name, (description, metadata) in descriptions.items()
    }


#: Presets of M1, the language model over bytes.
BYTE_LMS = _entries(
    {
        "byte_lm_3m_en": (
            "A language model over bytes, of the paper's size 3m, trained on "
            "198.6 MB of English technical and reference prose.",
            {"params": 3_246_208, "path": "byte_lm"},
        )
    }
)
#: Presets of M2, the language model over compressed text.
COMPRESSED_LMS = _entries(
    {
        "compressed_lm_3m_en": (
            "A language model of the paper's size 3m over 4,096 windows of "
            "words and phrases, trained on 111 MB of English technical and "
            "reference prose.",
            {"params": 4_196_480, "path": "compressed_lm"},
        )
    }
)
#: Presets of tokenizers without a model.
TOKENIZERS = _entries(
    {
        "equal_info_12bit_en": (
            "4,093 windows of words and phrases of English text: the tokenizer "
            "of compressed_lm_3m_en.",
            {"path": "equal_info"},
        ),
        "equal_info_16bit_en": (
            "65,533 windows of words and phrases of English text.",
            {"path": "equal_info"},
        ),
        "equal_info_16bit_paper_en": (
            "The 16-bit windows of arXiv 2404.03626 from byte_lm_3m_en, by "
            "arithmetic coding.",
            {"path": "equal_info"},
        ),
    }
)
#: All of them.
PRESETS = {**BYTE_LMS, **COMPRESSED_LMS, **TOKENIZERS}


def resolve(preset):
    """Return the folder of a built-in preset.

    Args:
        preset: str or a path. A built-in name, or anything else.

    Returns:
        str. The folder of a built-in name; anything else unchanged.

    Example:
    >>> from keras_nc import presets
    >>> presets.resolve("equal_info_12bit_en").endswith("equal_info_12bit_en")
    True
    >>> presets.resolve("runs/tiny")
    'runs/tiny'
    """
    preset = os.fspath(preset)
    return PRESETS[preset]["kaggle_handle"] if preset in PRESETS else preset

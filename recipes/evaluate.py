"""Gather what the workdir holds into one report with a table and pictures.

    python -m recipes.evaluate --config tiny --workdir runs/tiny

Writes `evaluation.json`, `report.md` and `figures/`. Models that were not
trained are left out.
"""

import dataclasses
import platform

import keras

from keras_nc import evaluation
from keras_nc import models
from recipes import launch
from recipes import report
from recipes import tokenize_corpus
from recipes import workdir
from recipes.engine import machine
from recipes.flags import say


def run(setting):
    """Evaluate, and write the report; return the figures."""
    path = setting.workdir / "evaluation.json"
    result = workdir.read_json(path)
    if result is None:
        setting.need_one_process("evaluating")
        result = workdir.write_json(path, gather(setting))
    report.write(setting, result)
    say(f"The report is {setting.workdir / 'report.md'}")
    return result


def gather(setting):
    """Return all figures of the report, a dict."""
    path = setting.workdir / "m1" / "result.json"
    if setting.config.codebook.entropy_model == "m1":
        workdir.need(path, "train_m1")
    m1 = workdir.read_json(path)  # perhaps the codebook needs none
    codebook = workdir.need(setting.workdir / "codebook.json", "build_codebook")
    say("Compressing the held-out text with gzip, xz, zstd and brotli")
    held_out = list(setting.documents("held_out"))
    rows = {}
    for tokens in tokenize_corpus.TOKENS:
        row = evaluate_tokens(setting, tokens)
        if row is not None:
            rows[tokens] = row
    if not rows:
        workdir.need(setting.workdir / "models" / "windows", "train_m2")
    sentencepiece = workdir.read_json(setting.workdir / "sentencepiece.json")
    return {
        "m1": m1
        and {
            "preset": m1.get("preset"),
            **{key: m1[key] for key in ("bits_per_byte", "seconds", "bytes")},
        },
        "compressors": evaluation.compressors_bits_per_byte(held_out),
        "models": rows,
        "equal_seconds": min(row["train_seconds"] for row in rows.values()),
        "codebook": codebook,
        "sentencepiece_seconds": (sentencepiece or {}).get("seconds"),
        "held_out_documents": len(held_out),
        "held_out_bytes": sum(map(len, held_out)),
        "backend": keras.backend.backend(),
        "machine": f"{platform.machine()}, {machine.cpu_count()} CPU cores",
        "python": platform.python_version(),
        "keras": keras.__version__,
    }


def evaluate_tokens(setting, tokens):
    """Return the figures of a tokenizer and its model; `None` without one."""
    folder = setting.workdir / "models" / tokens
    trained = workdir.read_json(folder / "result.json")
    if trained is None:
        return None
    shards = tokenize_corpus.open_shards(setting, tokens)
    tokenized = tokenize_corpus.run(setting, tokens)
    model = models.CompressedCausalLM.from_preset(str(folder / "preset"))
    m1 = None
    entropy_model = setting.config.codebook.entropy_model
    if tokens == "windows" and entropy_model != "counts":
        if entropy_model == "m1":
            entropy_model = str(setting.workdir / "m1" / "preset")
        m1 = models.ByteCausalLM.from_preset(entropy_model).backbone
    flops = evaluation.flops_per_byte(
        model.backbone, shards["held_out"].bytes_per_token, m1
    )
    return {
        "vocabulary_size": tokenized["vocabulary_size"],
        "bytes_per_token": tokenized["bytes_per_token"],
        "encode_mb_per_second": tokenized["encode_mb_per_second"],
        "tokenize_seconds": tokenized["seconds"],
        "uniform": evaluation.uniform_bits_per_byte(shards["held_out"]),
        "unigram": evaluation.unigram_bits_per_byte(
            shards["train"], shards["held_out"]
        ),
        "bits_per_byte": trained["bits_per_byte"],
        "parameters": model.backbone.count_params(),
        "body_parameters": evaluation.body_parameters(model.backbone),
        "flops_per_byte": dataclasses.asdict(flops),
        "train_seconds": trained["seconds"],
        "train_tokens": trained["tokens"],
        "train_bytes": trained["bytes"],
        "score_seconds": trained["score_seconds"],
    }


if __name__ == "__main__":
    launch.main(run)

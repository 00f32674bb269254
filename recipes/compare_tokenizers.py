"""Compare tokenizers of one size by what an M2 makes of them.

    python -m recipes.compare_tokenizers --config tiny --workdir runs/compare

All learn from the same text, and their models are trained by the same recipe on
equally many tokens. `table.md` tells for held-out text: bytes per token, how
many ids are used, the score of a unigram model, how much of a tokenization
changes with the first word, FLOPs per byte, and bits per byte, the mean of all
seeds; with `--unseen`, bytes per token and bits per byte of those files, too.

With `--prepare`, this makes tokenizers and shards and trains nothing. Copy the
workdir to a machine with a GPU, and run the same command there without it.
Each run leaves a record in `records/`. The same command trains only what has
none, and `--minutes` ends it with the table so far.
"""

import dataclasses
import itertools

from keras_nc.coding.archive import atomic_file
from keras_nc.models import SIZES
from recipes import compare_table
from recipes import configs
from recipes import flags
from recipes import launch
from recipes.contenders import BYTE_IDS
from recipes.contenders import BYTES
from recipes.contenders import CODEBOOKS
from recipes.contenders import NAMES
from recipes.contenders import PAPER
from recipes.engine import failures
from recipes.engine import machine
from recipes.engine import preparation
from recipes.engine import runs
from recipes.engine.unseen import unseen_documents
from recipes.flags import say

#: The size that the configuration names.
OWN_SIZE = "own"
#: Short epochs of a run whose tokens are given.
EPOCHS = 10

OWN = {
    "tokenizers": {
        "action": "append",
        "choices": NAMES,
        "metavar": "NAME",
        "help": "What to compare, by default all; may be repeated: "
        f"{'; '.join(NAMES)}.",
    },
    "sizes": {
        "nargs": "+",
        "choices": [OWN_SIZE, *SIZES],
        "default": [OWN_SIZE],
        "metavar": "SIZE",
        "help": f"Sizes of M2: {', '.join(SIZES)}, or by default {OWN_SIZE}, "
        "the configuration's.",
    },
    "width": {
        "nargs": "+",
        "type": flags.at_least(1),
        "default": [None],
        "metavar": "D",
        "help": "Widths of M2 to train at, with heads of the same width; "
        "tells bits/byte at equal FLOPs/byte.",
    },
    "ids": {
        "nargs": "+",
        "type": flags.at_least(1),
        "default": [None],
        "metavar": "N",
        "help": "Sizes of the vocabularies, by default 2^W of the "
        "configuration's windows.",
    },
    "tokens": {
        "type": flags.amount,
        "metavar": "N",
        "help": "Tokens to train each model on, as in 32.8M; by default the "
        "configuration's.",
    },
    "optimizer": {
        "choices": configs.OPTIMIZERS,
        "metavar": "NAME",
        "help": f"Of M2: {', '.join(configs.OPTIMIZERS)}.",
    },
    "position": {
        "choices": configs.POSITIONS,
        "metavar": "NAME",
        "help": f"Of M2: {', '.join(configs.POSITIONS)}.",
    },
    "embedding": {
        "nargs": "+",
        "choices": configs.EMBEDDINGS,
        "default": [None],
        "metavar": "NAME",
        "help": f"Of M2: {', '.join(configs.EMBEDDINGS)}, or both; more than "
        "one gives a column for each.",
    },
    "seeds": {
        "type": flags.at_least(1),
        "default": 2,
        "metavar": "N",
        "help": "Runs of M2 for each, by default 2.",
    },
    "unseen": {
        **launch.TEXT["held_out"],
        "help": "Text of a kind that --data has not, to score too; 'lee' for "
        "the Lee background corpus, which gensim holds.",
    },
    "prepare": {
        "action": "store_true",
        "help": "Make tokenizers and shards, and stop.",
    },
    "workers": {
        "type": flags.at_least(1),
        "default": machine.cpu_count(),
        "metavar": "N",
        "help": "Processes that make tokenizers, by default one per core.",
    },
    "minutes": {
        "type": flags.positive,
        "metavar": "M",
        "help": "Stop after this time, with the table so far.",
    },
    "save_models": {
        "action": "store_true",
        "help": "Save each trained model as a preset.",
    },
}


def configure(config, *, tokens, optimizer, position, **others):
    """Return the configuration with what the flags say about training."""
    training, m2 = config.m2_training, config.m2
    if optimizer:
        training = dataclasses.replace(training, optimizer=optimizer)
    if position:
        m2 = dataclasses.replace(m2, position=position)
    if tokens:
        training = configs.train_on(training, tokens, EPOCHS)
    return dataclasses.replace(config, m2=m2, m2_training=training)


def run(
    setting,
    *,
    tokenizers,
    sizes,
    width,
    ids,
    embedding,
    seeds,
    unseen,
    prepare,
    workers,
    minutes,
    save_models,
    **others,
):
    """Prepare, train what is missing, write and print the tables."""
    setting.need_one_process("comparing tokenizers")
    deadline = runs.Deadline(minutes)
    names = tokenizers or NAMES
    tables = plan(setting, names, sizes, width, ids, embedding, unseen)
    jobs = [run.job for rows in tables.values() for run in rows]
    if not prepare:  # else another machine may train
        for run in itertools.chain(*tables.values()):
            flag = f"M2 of {run.label}"
            machine.check_memory(setting, run.config, run.job.ids, flag)
    waiting = [job for job in jobs if preparation.read_figures(job) is None]
    if waiting:
        check_unseen(setting, unseen)
    preparation.prepare_all(waiting, workers, deadline)
    if prepare:
        left = [job for job in jobs if preparation.read_figures(job) is None]
        say(f"Tokenizers left: {len(left)} of {len(jobs)}")
        return
    seeded = [
        run.with_seed(seed)
        for rows in tables.values()
        # Runs of one size come together, because they share a compiled step.
        for m2 in dict.fromkeys(run.config.m2 for run in rows)
        for seed in range(seeds)
        for run in rows
        if run.config.m2 == m2
    ]
    failed = {}
    records = runs.train_all(seeded, deadline, save_models, failures=failed)
    text = "\n".join(
        (f"### {title}\n\n" if len(tables) > 1 else "")
        + compare_table.markdown(rows, records, range(seeds))
        for title, rows in tables.items()
    )
    with atomic_file(setting.workdir / "table.md") as file:
        file.write(text.encode())
    print(text, end="", flush=True)
    left = {run.name for run in seeded} - records.keys() - failed.keys()
    if left:
        say(
            f"{len(left)} runs are left after {minutes:g} minutes. The same "
            "command goes on."
        )
    failures.raise_all(failed)


def plan(setting, tokenizers, sizes, widths, ids, embeddings, unseen):
    """Return what to train, seeds aside: a dict of lists of `Run` by title."""
    own = setting.config.m2
    tables = {}
    for size in sizes:
        m2 = own
        if size != OWN_SIZE:
            check_free(setting.name, own, size)
            m2 = dataclasses.replace(own, **SIZES[size])
        for count in ids:
            count = count or 2**setting.config.codebook.window_bits
            check_ids(count, tokenizers)
            rows = tables[f"{size}, {count:,} ids"] = []
            for width, embedding in itertools.product(widths, embeddings):
                model = configs.at_width(m2, width) if width else m2
                if embedding:
                    model = dataclasses.replace(model, embedding=embedding)
                config = dataclasses.replace(setting.config, m2=model)
                details = [size] * (size != OWN_SIZE)
                details += [f"width {width}"] * bool(width)
                details += ["embedding from bytes"] * (embedding == "bytes")
                for name in tokenizers:
                    own_count = BYTE_IDS if name == BYTES else count
                    job = preparation.Job(setting, name, own_count, unseen)
                    label = ", ".join([name, str(own_count), *details])
                    rows.append(runs.Run(job, config, label))
    return tables


def check_free(name, m2, size):
    """Raise a ValueError if flags set what a size sets, too."""
    for field in SIZES[size]:
        value = getattr(m2, field)
        if value != getattr(configs.CONFIGS[name].m2, field):
            raise ValueError(
                f"A size sets all dimensions of M2. Received: --sizes {size}, "
                f"and --m2.{field} {value}. Leave out one of them."
            )


def check_unseen(setting, unseen):
    """Read all unseen text, so that its errors come before the work."""
    sizes = [len(text) for text in unseen_documents(unseen, setting.text_key)]
    if unseen and not any(sizes):
        raise ValueError(
            "The unseen text must not be empty. Received: --unseen "
            f"{','.join(unseen)}. Give other files to --unseen."
        )


def check_ids(count, tokenizers):
    """Raise a ValueError if tokenizers cannot have a number of ids."""
    powers = [2**bits for bits in range(9, 17)]
    if count not in powers and any(
        name in (*CODEBOOKS, PAPER) for name in tokenizers
    ):
        raise ValueError(
            "Codebooks have 2^W ids. Received: --ids "
            f"{count}. Choose {', '.join(map(str, powers))}"
        )
    if count < 512:
        raise ValueError(
            f"--ids must be at least 512. Received: --ids {count}. Bytes and "
            "special ids alone are 259."
        )


if __name__ == "__main__":
    launch.main(run, trains=True, configure=configure, **OWN)

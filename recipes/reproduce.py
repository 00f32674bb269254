"""Repeat the paper's experiments, at any size, with one command.

    python -m recipes.reproduce --size tiny --tokens 200k --workdir runs/tiny

Each experiment is a way to turn text into tokens. For each one and each seed,
this trains an M2 by the paper's protocol: the same architecture, optimizer,
tokens and steps, and the same text, joined and cut into examples of 10,240
bytes. It scores all of them on the same held-out bytes.

With `--prepare`, this makes tokenizers and shards and trains nothing. Each run
leaves a record in `records/`, and the same command trains only what has no
record. `--minutes` limits the time. `report.md` has the tables and claims of
all records. To join the records of several workdirs, run
`python -m recipes.reproduce_report --workdirs FOLDER ...`.
"""

import dataclasses
import functools
import math
import pathlib
import time

from keras_nc.models import SIZES
from recipes import configs
from recipes import experiments
from recipes import flags
from recipes import launch
from recipes import reproduce_report
from recipes import workdir
from recipes.engine import failures
from recipes.engine import machine
from recipes.engine import preparation
from recipes.engine import runs
from recipes.flags import say

TINY = "tiny"
#: Bytes of an example (the paper, section 3.3).
EXAMPLE_BYTES = 10_240
#: A run has at least so many steps, with smaller batches if necessary.
LEAST_STEPS = 1_000
LEAST_BATCH = 8
EPOCHS = 10
#: Generation is timed with so many texts at a time, of so many tokens each.
TEXTS, TEXT_TOKENS = 8, 64

OWN = {
    "size": {
        "default": TINY,
        "choices": [TINY, *SIZES],
        "help": "Size of M2, by default tiny.",
    },
    "experiment": {
        "action": "append",
        "metavar": "NAME",
        "help": "What to run; may be repeated. By default all; at size tiny, "
        "a few with few ids, and your own. Names: "
        f"{', '.join(experiments.EXPERIMENTS)}.",
    },
    "module": {
        "metavar": "NAME",
        "help": "A Python module whose `EXPERIMENTS` are added.",
    },
    "compressor": {
        "default": "byte_lm_3m_en",
        "metavar": "NAME",
        "help": "The preset, or folder, of M1; 'counts' for n-gram counts of "
        "the training text. By default byte_lm_3m_en.",
    },
    "tokens": {
        "type": flags.amount,
        "metavar": "N",
        "help": "Tokens to train each model on, as in 33M; by default the "
        "paper's 26.2B.",
    },
    "seeds": {
        "type": flags.at_least(1),
        "default": 1,
        "metavar": "N",
        "help": "Runs of each experiment, by default 1.",
    },
    "prepare": {
        "action": "store_true",
        "help": "Make tokenizers and shards, and stop.",
    },
    "shards": {
        "type": pathlib.Path,
        "metavar": "FOLDER",
        "help": "A folder where several workdirs share shards, so that each "
        "text is tokenized once.",
    },
    "device_rows": {
        "type": flags.at_least(1),
        "metavar": "N",
        "help": "Run M1 on the device of JAX, on N examples at once, such as "
        "4096, for ids that are not decoded. By default it runs on the CPU.",
    },
    "workers": {
        "type": flags.at_least(1),
        "default": machine.cpu_count(),
        "metavar": "N",
        "help": "Processes that prepare, by default one per core.",
    },
    "minutes": {
        "type": flags.positive,
        "metavar": "M",
        "help": "Stop after this time, with the report so far.",
    },
    "save_models": {
        "action": "store_true",
        "help": "Save each trained model as a preset.",
    },
}


def choose(*, size, **others):
    """Return the name of the configuration of a size."""
    return f"paper_{size}"


def configure(config, *, tokens, **others):
    """Return the configuration that trains on a number of tokens."""
    if not tokens:
        return config
    training = config.m2_training
    if training.batch_size == configs.PAPER_M2_TRAINING.batch_size:
        sequences = tokens / training.sequence_length / LEAST_STEPS
        power = 2 ** math.floor(math.log2(max(sequences, LEAST_BATCH)))
        batch_size = min(power, training.batch_size)
        training = dataclasses.replace(training, batch_size=batch_size)
    training = configs.train_on(training, tokens, EPOCHS)
    return dataclasses.replace(config, m2_training=training)


def run(
    setting,
    *,
    size,
    experiment,
    module,
    compressor,
    seeds,
    prepare,
    shards,
    device_rows,
    workers,
    minutes,
    save_models,
    **others,
):
    """Prepare, train what is missing, and write the report."""
    setting.need_one_process("repeating experiments")
    deadline = runs.Deadline(minutes)
    chosen = choose_experiments(experiment, module, size)
    check_size(size, setting.config.m2)
    if not prepare:  # else another machine may train
        most = max(experiment.ids for experiment in chosen.values())
        config, flag = setting.config, f"--size {size}"
        machine.check_memory(setting, config, most, flag)
    if device_rows and compressor == experiments.COUNTS:
        raise ValueError(
            "Only a neural M1 runs on a device. Received: --device_rows "
            f"{device_rows} --compressor {compressor}. Leave out --device_rows."
        )
    check_m1(setting, compressor)
    jobs = {
        name: job_of(setting, each, compressor, shards, device_rows)
        for name, each in chosen.items()
    }
    if prepare:
        # Only one process can use the device.
        workers = 1 if device_rows else workers
        preparation.prepare_all(jobs.values(), workers, deadline)
        left = [job for job in jobs.values() if is_waiting(job)]
        say(f"Tokenizers left: {len(left)} of {len(jobs)}")
        return
    for job in jobs.values():
        is_waiting(job)  # raises if it was prepared with other settings
    left, trainers, failed = 0, {}, {}
    try:
        for name, job in jobs.items():
            # One after the other, so that the first records come soon.
            try:
                preparation.prepare_all([job], 1, deadline)
            except ValueError as error:
                failures.note(failed, name, error)
                continue
            seeded = [
                runs.Run(job, setting.config, f"{name}, {size}").with_seed(seed)
                for seed in range(seeds)
            ]
            measure = functools.partial(measure_generation, chosen[name])
            records = runs.train_all(
                seeded, deadline, save_models, measure, trainers, failed
            )
            names = {run.name for run in seeded}
            left += len(names - records.keys() - failed.keys())
    finally:
        # Write the report only at the end, even of an interrupted run: plots
        # take seconds, and a GPU would wait for them.
        reproduce_report.write([setting.workdir], setting.workdir, module)
    text = setting.workdir.joinpath(reproduce_report.REPORT).read_text()
    print(text, end="", flush=True)
    if left:
        say(f"{left} runs are left. The same command goes on.")
    failures.raise_all(failed)


def choose_experiments(names, module, size):
    """Return the experiments to run, a dict by name.

    Raises:
        ValueError: If a name is not that of an experiment.
    """
    found = experiments.all_experiments(module)
    if not names:
        own = found.keys() - experiments.EXPERIMENTS.keys()
        few = (*experiments.FEW_IDS, *sorted(own))
        names = few if size == TINY else found
    for name in names:
        if name not in found:
            raise ValueError(
                "An experiment must have a name of the list. Received: "
                f"--experiment {name}. Choose {', '.join(found)}"
            )
    return {name: found[name] for name in names}


def job_of(setting, experiment, m1, shards=None, device_rows=None):
    """Return the job that prepares the tokens of an experiment."""
    on_device = experiment.runs_m1 and not experiment.continues
    return preparation.Job(
        setting,
        experiment.name,
        experiment.ids,
        make=functools.partial(experiments.make_tokenizer, experiment, m1),
        example_bytes=EXAMPLE_BYTES,
        m1=m1 if experiment.runs_m1 else None,
        shared=shards,
        device_rows=device_rows if on_device else None,
    )


def is_waiting(job):
    """Return whether a job is not prepared yet."""
    return preparation.read_figures(job) is None


def check_m1(setting, m1):
    """Record which M1 a workdir uses, and how large it is.

    Raises:
        ValueError: If the workdir uses another M1.
    """
    path = setting.workdir / "m1.json"
    its = workdir.read_json(path)
    if its is None:
        workdir.write_json(
            path, {"name": m1, "body_parameters": m1_parameters(m1)}
        )
    elif its["name"] != m1:
        raise ValueError(
            f"{path} was made with --compressor {its['name']}. Received: {m1}. "
            "Use the same flags, or another --workdir."
        )


def m1_parameters(m1):
    """Count the parameters of M1 without embeddings; 0 for counts."""
    if m1 == experiments.COUNTS:
        return 0
    from keras_nc.evaluation import body_parameters
    from keras_nc.models import ByteBackbone

    return body_parameters(ByteBackbone.from_preset(m1, load_weights=False))


def check_size(size, m2):
    """Raise a ValueError if flags changed what the name of a size means.

    The report puts a size beside the paper's.
    """
    for name, value in SIZES.get(size, {}).items():
        if getattr(m2, name) != value:
            raise ValueError(
                f"--size {size} is the paper's, with {name}={value}. Received: "
                f"--m2.{name} {getattr(m2, name)}. Leave it out, or use --size "
                f"{TINY}, whose fields are free."
            )


def measure_generation(experiment, run, prepared, model):
    """Time how fast a model writes text.

    Returns:
        dict for the record: `{"generation": figures}`, or why there are none.
    """
    if not experiment.continues:
        refused = f"{experiment.row}: no text can be continued over these ids"
        return {"generation": {"refused": refused}}
    complete = runs.with_tokenizer(model, prepared, TEXT_TOKENS)
    complete.compile(sampler="random")
    seconds = []
    for _ in range(2):  # the first call compiles
        start = time.perf_counter()
        try:
            texts = complete.generate([b"The "] * TEXTS, max_length=TEXT_TOKENS)
        except ValueError as error:
            # The scores of a trained model must not be lost.
            return {"generation": {"refused": f"{experiment.row}: {error}"}}
        seconds.append(time.perf_counter() - start)
    return {
        "generation": {
            "bytes_per_second": sum(map(len, texts)) / seconds[1],
            "texts": TEXTS,
            "tokens": TEXT_TOKENS,
        }
    }


if __name__ == "__main__":
    launch.main(run, trains=True, configure=configure, choose=choose, **OWN)

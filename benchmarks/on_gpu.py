"""Run all that waits for a GPU, in parts of ten minutes.

    python -m benchmarks.on_gpu --workdir runs/gpu --prepare
    python -m benchmarks.on_gpu --workdir runs/gpu --minutes 9

The first command makes tokenizers and shards on CPUs; copy the folder to the
GPU. The second runs these stages in turn, and stops at the limit. Repeat it
until it says that nothing is left:

- `steps`: speed and parts of training steps on JAX (`benchmarks.training`);
- `tensorflow`, `torch`: the same steps on the other backends;
- `m1`: how fast M1 tokenizes 42 MB on the device, 4,096 examples at once;
- `reproduce`: the paper's experiments at 25m (`recipes.reproduce`);
- `compare`: tokenizers at 25m (`recipes.compare_tokenizers`).

`--quick` runs all of it at a tiny size, on CPUs, too.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

from benchmarks import options
from recipes import flags
from recipes import workdir
from recipes.flags import say

STAGES = ("steps", "tensorflow", "torch", "m1", "reproduce", "compare")
#: What a program prints if it is not finished.
LEFT = re.compile(r"Out of time|are left|left: [1-9]")
#: A stage begins only if this many minutes are left.
LEAST_MINUTES = 0.5
STEPS = "--dtype mixed_bfloat16 --sequence-length 512"
SIZES = "25m:4096:64 113m:65536:32 403m:65536:16"
QUICK_STEPS = "--quick --sizes 3m:512:2 --sequence-length 16"
POSITIONS = "--positions rope relative_bias"
REPRODUCE = "--size 25m --tokens 33M"
#: 4,096 examples of 10,240 bytes.
M1 = f"{REPRODUCE} --train_bytes 41943040 --held_out_bytes 1000000"
M1_EXPERIMENTS = "--experiment b16_v65k --experiment b128_v65k"
M1_EXPERIMENTS += " --experiment ac_v65k"
COMPARE = (
    "--config study --sizes 25m --ids 65536 --tokens 32.8M --position rope "
    "--dtype mixed_bfloat16 --m2_training.batch_size 64 "
    "--m2_training.sequence_length 512"
)
QUICK_RUN = (
    "--train_bytes 20000 --held_out_bytes 4000 --probe_bytes 2000 "
    "--codebook.text_bytes 20000 --sentencepiece.text_bytes 20000"
)
QUICK_REPRODUCE = f"--size tiny --tokens 2048 --compressor counts {QUICK_RUN}"
QUICK_REPRODUCE += " --experiment bytes"
QUICK_M1 = (
    "--size tiny --tokens 2048 --train_bytes 1000 --held_out_bytes 300 "
    "--probe_bytes 100 --m1_training.batch_size 1 "
    "--m1_training.sequence_length 8 --m2_training.sequence_length 8"
)
QUICK_COMPARE = (
    f"--config smoke --tokens 512 --ids 512 --seeds 1 {QUICK_RUN} "
    "--tokenizers bytes"
)


def stages(settings):
    """Return the stages, a dict from names to the words of a command."""
    quick = settings.quick
    minutes = "--minutes {minutes}"
    steps = QUICK_STEPS if quick else f"{STEPS} --sizes {SIZES}"
    if not quick:
        steps += f" --peak-tflops {settings.peak_tflops:g}"
    steps = f"benchmarks.training {steps} {POSITIONS} {minutes}"
    m1 = f"{QUICK_M1} --device_rows 4 --experiment b16_v65k"
    if not quick:
        m1 = f"{M1} --device_rows 4096 {M1_EXPERIMENTS}"
    reproduce = QUICK_REPRODUCE if quick else REPRODUCE
    compare = QUICK_COMPARE if quick else COMPARE
    commands = {
        "steps": f"{steps} --parts --records {{folder}}/steps.jsonl",
        "tensorflow": f"{steps} --records {{folder}}/tensorflow.jsonl",
        "torch": f"{steps} --compiled --records {{folder}}/torch.jsonl",
        "m1": f"recipes.reproduce {m1} --prepare {minutes} "
        f"--workdir {{folder}}/m1",
        "reproduce": f"recipes.reproduce {reproduce} {minutes} "
        f"--workdir {{folder}}/reproduce",
        "compare": f"recipes.compare_tokenizers {compare} {minutes} "
        f"--workdir {{folder}}/compare",
    }
    return {
        name: [
            word.replace("{folder}", str(settings.workdir))
            for word in commands[name].split()
        ]
        for name in STAGES
    }


def main(settings):
    """Run what is left of the stages, until the limit."""
    settings.workdir.mkdir(parents=True, exist_ok=True)
    with workdir.only_process(settings.workdir):
        run_stages(settings)


def run_stages(settings):
    """Run stages, or prepare them."""
    path = settings.workdir / "done.json"
    commands = stages(settings)
    if settings.prepare:
        for name in ("reproduce", "compare"):
            words = commands[name]
            at = words.index("--minutes")
            words[at : at + 2] = ["--prepare"]
            if run(name, words, settings.workdir) is None:
                raise ValueError(
                    "All stages must be prepared. Received: an error in "
                    f"{name}, see above. Repair it, and repeat the command."
                )
        return
    end = time.monotonic() + 60 * settings.minutes
    done = (workdir.read_json(path) or {"done": []})["done"]
    left = []
    for name in settings.stages or commands:
        if name in done:
            continue
        minutes = (end - time.monotonic()) / 60
        if minutes < LEAST_MINUTES:
            left.append(name)
            continue
        words = [
            w.replace("{minutes}", f"{minutes:.2f}") for w in commands[name]
        ]
        output = run(name, words, settings.workdir)
        if output is None or LEFT.search(output):
            left.append(name)
        else:
            done.append(name)
            workdir.write_json(path, {"done": done})
    for line in m1_speed(settings.workdir):
        print(line, flush=True)
    if left:
        say(f"Left: {', '.join(left)}. The same command goes on.")
    else:
        say("Nothing is left.")


def run(name, words, folder):
    """Run a program, show and keep its output.

    Returns:
        The output, a str; `None` if the program failed.
    """
    backend = name if name in ("tensorflow", "torch") else "jax"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    say(f"{name}: python -m {' '.join(words)}")
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    with open(folder / f"{name}.log", "a", encoding="utf-8") as file:
        file.writelines(lines)
    return None if process.returncode else "".join(lines)


def m1_speed(folder):
    """Yield a line for each text that M1 has tokenized on the device."""
    for path in sorted(folder.glob("m1/prepared/*/prepared.json")):
        figures = workdir.read_json(path)
        manifests = path.parent.glob("*/manifest.json")
        size = sum(
            shard["bytes"]
            for manifest in manifests
            for shard in json.loads(manifest.read_text())["shards"]
        )
        seconds = figures["tokenize_seconds"]
        yield (
            f"{path.parent.name}: {size / 1e6:,.2f} MB in {seconds:,.1f} s, "
            f"{size / 1e6 / seconds:,.3f} MB/s, {figures['device_rows']} rows"
        )


if __name__ == "__main__":
    options.start(
        main,
        takes_text=False,
        workdir={
            "type": pathlib.Path,
            "default": pathlib.Path("runs/gpu"),
            "metavar": "FOLDER",
            "help": "Where everything goes, by default runs/gpu.",
        },
        minutes={
            "type": flags.positive,
            "default": 9.0,
            "metavar": "M",
            "help": "Stop after this time, by default 9.",
        },
        prepare={
            "action": "store_true",
            "help": "Make tokenizers and shards, and stop.",
        },
        stages={
            "nargs": "+",
            "choices": STAGES,
            "metavar": "NAME",
            "help": f"Run only these stages: {', '.join(STAGES)}.",
        },
        peak_tflops={
            "type": flags.positive,
            "default": 989.0,
            "help": "Of the device, for MFU; by default that of an H100.",
        },
    )

#!/usr/bin/python3
"""Gives fuzz targets a number of inputs in all, piece by piece, and says how many each had.

usage: hostile.py NAME=PROGRAM... [--inputs N] [--seed N] [--shard I/N]

  --inputs N   in all, split evenly between the targets (default: 10 million)
  --seed N     of the first piece, the next is one more (default: drawn)
  --shard I/N  only every Nth piece from the Ith on: for several machines or cores

A piece is a run of libFuzzer, which keeps what it learns in .zig-cache/fuzz/NAME for the next. What
was done with a seed is noted there: given that seed again, an interrupted run goes on.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time

FOLDER = ".zig-cache/fuzz"
PIECE = 250_000
EXECUTED = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")


def parse_shard(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"not I/N: '{text}'")
    return int(match[1]) - 1, int(match[2])


def parse(argv):
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("targets", nargs="+", metavar="NAME=PROGRAM")
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--shard", type=parse_shard, default=(0, 1))
    options = parser.parse_args(argv)
    options.targets = [target.split("=", 1) for target in options.targets]
    return options


class Notes:
    """What was done: a line a piece, `KEY INPUTS SECONDS`."""

    def __init__(self, path):
        self.path = path
        self.done = {}
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                for key, inputs, seconds in (line.split() for line in f):
                    self.done[key] = int(inputs), float(seconds)

    def add(self, key, inputs, seconds):
        self.done[key] = inputs, seconds
        with open(self.path, "a", encoding="ascii") as f:
            f.write(f"{key} {inputs} {seconds:.1f}\n")


def fuzz(name, program, seed, runs):
    """Returns how many inputs it ran, or None if it found something."""
    corpus = f"{FOLDER}/{name}"
    os.makedirs(corpus, exist_ok=True)
    command = [program, f"-runs={runs}", f"-seed={seed}", f"-artifact_prefix={corpus}-",
               "-timeout=10", "-verbosity=0", "-print_final_stats=1", corpus,
               f"tests/fuzz/seeds/{name}"]
    # What is freed is watched for 16 MiB more, not 256: it is all of some thousand inputs.
    environment = os.environ | {"ASAN_OPTIONS": "quarantine_size_mb=16"}
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          env=environment, check=False)
    executed = EXECUTED.search(done.stderr)
    if done.returncode == 0 and executed:
        return int(executed[1])
    sys.stdout.write(done.stderr.decode(errors="replace"))
    print(f"exit code {done.returncode}: {' '.join(command)}", flush=True)
    return None


def run_target(name, program, options, notes):
    """Returns inputs and seconds of its pieces, and how many of the inputs were run before; or None
    if something was found."""
    share = options.inputs // len(options.targets)
    with open(program, "rb") as f:
        build = hashlib.sha256(f.read()).hexdigest()[:16]
    total, spent, before = 0, 0.0, 0
    first, step = options.shard
    for piece in range(first, -(-share // PIECE), step):
        seed = options.seed + piece
        runs = min(PIECE, share - piece * PIECE)
        key = f"{name}-{build}-{seed}-{runs}"
        if key in notes.done:
            before += notes.done[key][0]
        else:
            start = time.monotonic()
            inputs = fuzz(name, program, seed, runs)
            if inputs is None:
                return None
            notes.add(key, inputs, time.monotonic() - start)
        total += notes.done[key][0]
        spent += notes.done[key][1]
    return total, spent, before


def main(argv):
    options = parse(argv)
    os.makedirs(FOLDER, exist_ok=True)
    notes = Notes(f"{FOLDER}/hostile-done")
    print(f"seed {options.seed}", flush=True)
    total, spent, found = 0, 0.0, 0
    for name, program in options.targets:
        result = run_target(name, program, options, notes)
        if result is None:
            found += 1
            continue
        total += result[0]
        spent += result[1]
        earlier = f", {result[2]} of them in a run before" if result[2] else ""
        print(f"{name:10} {result[0]:>10} inputs  {result[1]:7.1f} s  clean{earlier}", flush=True)
    print(f"{'all':10} {total:>10} inputs  {spent:7.1f} s  {found} targets found something")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

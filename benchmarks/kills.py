"""What is left of a training that is killed: fintune beside transformers' Trainer with `get_last_checkpoint`.

The same tiny encoder, LoRA rank, dropout, NEFTune, batches of 8 and twelve steps; both save at every step and keep two checkpoints.
Each kill is a SIGKILL at a random share of the uninterrupted process's life, the same share for both, in turns; then the same
command runs once more. `identical`: the adapter's bytes are those of an uninterrupted run. `dead`: the second command fails, and
so would every further one. `different`: it ends with other weights. A save at every short step makes a kill hit one far more often
than in ordinary use; `in a save` says how many did.

    python benchmarks/kills.py [--kills 40] [--seed 1] [--output benchmarks/results]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")

import tiny  # noqa: E402
from forks import Ended, Forks  # noqa: E402

KILLED = 128 + signal.SIGKILL
SETTINGS = {"train.checkpoint_every": 1}


def stock(*, base: str, output: str) -> tuple[int, dict[str, Any]]:
    """The run as the documentation of transformers has it: resume from the last checkpoint where there is one."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint

    import jobs
    from fintune.heads.base import IGNORED
    from fintune.heads.build import build
    from fintune.tasks.base import load_task

    torch.set_num_threads(1)
    recipe = tiny.recipe(base)
    head = build(recipe, load_task(recipe.task)).head  # only to encode the same examples in the same way
    rows = []
    for window in head.encode(tiny.examples()[: jobs.TRAINING]):
        labels = [IGNORED] * len(window.tokens)
        for place, tag in zip(window.heads, window.tags or [], strict=True):
            labels[place] = tag
        rows.append({"input_ids": window.tokens, "attention_mask": [1] * len(window.tokens), "labels": labels})
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(
        base, num_labels=len(head.tagset.tags), hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, classifier_dropout=0.1
    )
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["query", "key", "value", "dense"], task_type="TOKEN_CLS")
    trainer = Trainer(
        get_peft_model(model, lora),
        TrainingArguments(
            output, num_train_epochs=2, per_device_train_batch_size=8, learning_rate=5e-3, neftune_noise_alpha=5.0, warmup_steps=2,
            save_strategy="steps", save_steps=1, save_total_limit=2, seed=0, use_cpu=True, report_to=[], disable_tqdm=True,
            logging_strategy="no",
        ),
        train_dataset=rows, data_collator=DataCollatorForTokenClassification(head.tokenizer),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    last = get_last_checkpoint(output) if os.path.isdir(output) else None
    try:
        trainer.train(resume_from_checkpoint=last)
    except Exception as error:
        return 1, {"message": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    trainer.save_model(f"{output}/final")
    return 0, {}


@dataclass
class System:
    """One of the two: how to run it, where its adapter comes to lie, how a save that was cut short looks, and the tally."""

    name: str
    job: str
    arguments: Callable[[Path], dict[str, Any]]
    adapter: str
    cut_short: Callable[[Path], bool]
    seconds: float = 0.0
    expected: str = ""
    tally: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def weights(self, output: Path) -> str:
        """sha256 over the safetensors of the finished adapter."""
        digest = hashlib.sha256()
        for path in sorted((output / self.adapter).glob("*.safetensors")):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def measure(self, forks: Forks, folder: Path) -> None:
        """Run undisturbed, three times: to import, to time, and to see that the bytes repeat."""
        found = []
        for number in range(3):
            ended = self.run(forks, folder / f"{self.name}-reference-{number}")
            assert ended.status == 0, ended
            self.seconds = ended.seconds
            found.append(self.weights(folder / f"{self.name}-reference-{number}"))
        assert len(set(found)) == 1, "not even undisturbed runs agree"
        self.expected = found[0]

    def run(self, forks: Forks, output: Path, *, kill_after: float | None = None) -> Ended:
        """Run, or go on, in `output`."""
        return forks.run(self.job, self.arguments(output), kill_after=kill_after)

    def kill(self, forks: Forks, output: Path, share: float) -> bool:
        """One kill and what comes after; False where the process had ended before."""
        if self.run(forks, output, kill_after=share * self.seconds).status != KILLED or self.finished(output):
            return False
        self.tally["in a save"] += self.cut_short(output)
        again = self.run(forks, output)
        if again.status != 0:
            self.tally["dead"] += 1
            message = (again.result or {}).get("message", "no message").replace(str(output), "RUN")
            self.reasons[re.sub(r"checkpoint-\d+", "checkpoint-N", message)[:110]] += 1
        else:
            self.tally["identical" if self.weights(output) == self.expected else "different"] += 1
        self.tally["kills"] += 1
        return True

    def finished(self, output: Path) -> bool:
        """Whether the run had come to its end when the kill came."""
        return (output / "manifest.json").exists() if self.name == "fintune" else self.weights(output) == self.expected


def torn_in_place(output: Path) -> bool:
    """Whether the newest of stock checkpoints has fewer files than a whole one."""
    found = sorted(output.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    whole = {"adapter_model.safetensors", "adapter_config.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"}
    return bool(found) and not whole <= {p.name for p in found[-1].iterdir()}


def systems(base: Path) -> list[System]:
    return [
        System(
            "fintune", "jobs:train", lambda output: {"base": str(base), "output": str(output), "settings": SETTINGS}, "adapter",
            lambda output: any(output.glob("checkpoints/.writing-*")),
        ),
        System("transformers", "kills:stock", lambda output: {"base": str(base), "output": str(output)}, "final", torn_in_place),
    ]  # fmt: skip


def table(pair: list[System]) -> str:
    columns = ("kills", "in a save", "identical", "dead", "different")
    lines = ["system        " + "  ".join(f"{c:>9}" for c in columns) + "      share  seconds a run"]
    for one in pair:
        counts = "  ".join(f"{one.tally[c]:9}" for c in columns)
        lines.append(f"{one.name:12}  {counts}   {one.tally['identical'] / max(one.tally['kills'], 1):8.1%}  {one.seconds:13.2f}")
    for one in pair:
        lines += [f"{one.name} died of: {count} x {reason}" for reason, count in one.reasons.most_common()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "results")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pair = systems(tiny.write_bert(folder / "base"))
        with Forks(folder, modules=[str(HERE)]) as forks:
            for one in pair:
                one.measure(forks, folder)
            attempt = 0
            while min(one.tally["kills"] for one in pair) < given.kills:
                attempt += 1
                share = draw.random()
                for one in pair:
                    output = folder / f"{one.name}-{attempt}"
                    if one.tally["kills"] < given.kills:
                        one.kill(forks, output, share)
                    shutil.rmtree(output, ignore_errors=True)
                if attempt % 10 == 0:
                    print(table(pair), file=sys.stderr, flush=True)
    report = "\n".join([table(pair), "", *circumstances()])
    print(report)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / f"kills-{time.strftime('%Y-%m-%d')}.txt").write_text(report + "\n", encoding="utf-8")


def circumstances() -> list[str]:
    """Command, machine and versions."""
    from fintune.train.claim import versions
    from fintune.train.run import hardware

    machine = {**hardware(), "load": os.getloadavg()}
    return [f"command: python benchmarks/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}", json.dumps(machine), json.dumps(versions())]


if __name__ == "__main__":
    main()

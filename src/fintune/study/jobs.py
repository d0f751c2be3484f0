"""What a process is told of a cell: its recipe, where its data are, what to score it on, and where to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fintune.study.cells import CELLS, Cell
from fintune.study.sources import FOLDER, Part, Sources
from fintune.study.table import BASELINES, Evaluation

LOGS = "logs"
Job = dict[str, Any]
"""A JSON object; `fintune.study_worker` reads it."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Makes jobs of one study."""

    folder: Path
    data: Sources
    wanted: Sequence[Evaluation]

    def lay_out(self) -> None:
        """Make the folders, and keep the data where the processes take them from."""
        for name in (FOLDER, LOGS):
            (self.folder / name).mkdir(exist_ok=True)
        for name, part in self.data.parts().items():
            part.write(self.place(name))

    def run(self, cell: str) -> Path:
        """The run folder of a cell."""
        return (self.folder / CELLS / cell).absolute()

    def place(self, name: str) -> Path:
        """Where a part of the data is kept."""
        return (self.folder / FOLDER / f"{name}.jsonl").absolute()

    def train(self, cell: Cell, *, threads: int, device: int | None) -> Job:
        """Train and score a cell."""
        run = self.run(cell.id)
        scored = [self._scored(one, run / one.place) for one in self.wanted]
        return self._job(cell.id, cell, run, threads=threads, device=device) | {"evaluations": scored, "baselines": []}

    def baselines(self, cell: Cell, shots: Sequence[int], *, threads: int, device: int | None) -> Job:
        """Score the base model of a finished cell without its adapter, shown so many solved examples."""
        job = self._job(f"{BASELINES}-{cell.id}", cell, self.run(cell.id), threads=threads, device=device)
        return job | {"evaluations": [self._scored(self.wanted[0], self.reference(cell))], "baselines": list(shots)}

    def reference(self, cell: Cell) -> Path:
        """Where the scores of a cell's base model go."""
        return (self.folder / BASELINES / cell.id).absolute()

    def _job(self, name: str, cell: Cell, run: Path, *, threads: int, device: int | None) -> Job:
        train = self._part(self.place("train") if cell.train is self.data.train else Path(cell.train.source).absolute(), cell.train)
        held = self.data.validation
        return {
            "cell": name, "folder": str(run), "recipe": cell.recipe.model_dump(mode="json"), "train": train,
            "validation": self._part(self.place("validation"), held) if held is not None else None, "threads": threads, "device": device,
            "log": str((self.folder / LOGS / f"{name}.log").absolute()),
        }  # fmt: skip

    def _part(self, place: Path, part: Part) -> Job:
        return {"path": str(place), "fingerprint": part.fingerprint, "record": part.record()}

    def _scored(self, one: Evaluation, output: Path) -> Job:
        return {
            "name": one.name, "path": str(self.place(one.name)), "source": one.source, "fingerprint": one.fingerprint,
            "output": str(output),
        }  # fmt: skip

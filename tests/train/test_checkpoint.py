from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fintune.errors import ArtifactError, ResourceError
from fintune.train import checkpoint
from fintune.train.checkpoint import State
from fintune.train.loop import optimizer_for, schedule_for


class Model(nn.Module):
    """Two trainable matrices, of which one counts as an adapter's, and a frozen one."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.lora_a, self.head, self.frozen = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2)
        self.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.dropout(self.lora_a(x), 0.5, self.training)
        return self.frozen(self.head(hidden))


def prepared(seed: int, kind: str) -> tuple[Model, Any, Any]:
    model = Model(seed)
    optimizer = optimizer_for(model, rate=0.1, head_rate=0.01, decay=0.1)
    return model, optimizer, schedule_for(optimizer, kind=kind, warmup=0.2, steps=20)


def work(model: nn.Module, optimizer: Any, schedule: Any, count: int) -> list[tuple[float, float]]:
    """Steps on data drawn at random; loss and rates of each."""
    seen = []
    for _ in range(count):
        loss = model(torch.randn(5, 3)).pow(2).sum()
        loss.backward()
        rates = tuple(group["lr"] for group in optimizer.param_groups)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seen.append((float(loss.detach()), *rates))
    return seen


def small(step: int = 3, *, best: bool = False) -> State:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    return State(tensors, {"0.0.step": torch.tensor(3.0)}, {"cpu": torch.get_rng_state()}, tensors if best else {}, {"step": step})


def assert_equal(one: State, other: State) -> None:
    for part in ("weights", "optimizer", "random", "best"):
        mine, theirs = getattr(one, part), getattr(other, part)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[k], theirs[k]) and mine[k].dtype == theirs[k].dtype for k in mine)
    assert one.progress == other.progress


@pytest.mark.parametrize("best", [True, False])
def test_what_is_written_is_read(tmp_path: Path, best: bool):
    state = small(best=best)
    place = checkpoint.write(tmp_path / "checkpoints", state)
    assert place == tmp_path / "checkpoints" / "step-3"
    found, messages = checkpoint.newest(tmp_path / "checkpoints")
    assert messages == []
    assert found is not None
    assert_equal(found, state)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("step", [1, 2, 4, 9, 19])
def test_a_restored_training_goes_on_as_the_captured_one(tmp_path: Path, kind: str, step: int):
    torch.manual_seed(99)
    model, optimizer, schedule = prepared(1, kind)
    torch.manual_seed(5)
    work(model, optimizer, schedule, step)
    checkpoint.write(tmp_path, checkpoint.capture(model, optimizer, best={}, progress={"step": step}))
    expected = work(model, optimizer, schedule, 20 - step)

    other, fresh, anew = prepared(1, kind)
    with torch.no_grad():
        for parameter in (p for p in other.parameters() if p.requires_grad):
            parameter.fill_(7.0)
    torch.manual_seed(1234)
    state, _ = checkpoint.newest(tmp_path)
    assert state is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns where a schedule moves before its optimizer has
        checkpoint.restore(state, other, fresh, anew)
        assert work(other, fresh, anew, 20 - step) == expected
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    assert anew.last_epoch == schedule.last_epoch == 20


def test_a_capture_does_not_move_with_the_training():
    model, optimizer, schedule = prepared(1, "linear")
    work(model, optimizer, schedule, 2)
    state = checkpoint.capture(model, optimizer, best={}, progress={"step": 2})
    before = {name: tensor.clone() for name, tensor in (state.weights | state.optimizer).items()}
    work(model, optimizer, schedule, 2)
    assert all(torch.equal(before[name], tensor) for name, tensor in (state.weights | state.optimizer).items())


def test_the_state_of_another_model_is_refused():
    model, optimizer, schedule = prepared(1, "linear")
    with pytest.raises(ArtifactError, match="of another model"):
        checkpoint.restore(small(), model, optimizer, schedule)


def test_the_newest_two_stay(tmp_path: Path):
    for step in (1, 2, 3, 10, 9):
        checkpoint.write(tmp_path, small(step))
    assert checkpoint.steps(tmp_path) == [10, 9]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-9"]


def test_one_of_the_same_step_stays_as_it_is(tmp_path: Path):
    place = checkpoint.write(tmp_path, small())
    before = (place / "MANIFEST.json").stat().st_ino
    assert checkpoint.write(tmp_path, small()) == place
    assert (place / "MANIFEST.json").stat().st_ino == before


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path: Path):
    place = checkpoint.write(tmp_path, small())
    (place / "progress.json").write_text("{}")
    checkpoint.write(tmp_path, small())
    found, messages = checkpoint.newest(tmp_path)
    assert found is not None
    assert messages == []


def test_every_bit_of_every_file_is_covered(tmp_path: Path):
    """Each flipped bit puts the checkpoint into quarantine; flipped back, it verifies again."""
    place = checkpoint.write(tmp_path, small(best=True))
    stand = tmp_path / "quarantine" / "step-3"
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        every = 1 if path.name in ("MANIFEST.json", "progress.json") else 61  # a hash covers all bits alike
        for bit in range(0, 8 * len(content), every):
            spoilt = bytearray(content)
            spoilt[bit // 8] ^= 1 << bit % 8
            path.write_bytes(spoilt)
            found, messages = checkpoint.newest(tmp_path)
            assert found is None, (path.name, bit)
            assert len(messages) == 1
            stand.rename(place)
        path.write_bytes(content)
    found, messages = checkpoint.newest(tmp_path)
    assert found is not None
    assert messages == []


def rewrite(place: Path, change: dict[str, Any]) -> None:
    document = json.loads((place / "MANIFEST.json").read_text())
    (place / "MANIFEST.json").write_text(json.dumps({**document, **change}))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda place: rewrite(place, {"step": 4}), "MANIFEST.json is damaged"),
        (lambda place: rewrite(place, {"files": []}), "MANIFEST.json is incomplete"),
        (lambda place: rewrite(place, {"files": {}}), "MANIFEST.json is incomplete"),
        (lambda place: (place / "MANIFEST.json").write_text("[]"), "MANIFEST.json: file does not hold a JSON object"),
        (lambda place: (place / "best.safetensors").touch(), "best.safetensors is not in MANIFEST.json"),
        (lambda place: place.rename(place.with_name("step-5")), "MANIFEST.json is damaged"),
    ],
)
def test_a_manifest_is_taken_at_its_word_only_where_it_fits(tmp_path: Path, damage: Any, complaint: str):
    damage(checkpoint.write(tmp_path, small()))
    found, messages = checkpoint.newest(tmp_path)
    assert found is None
    assert len(messages) == 1
    assert f"({complaint})" in messages[0]
    assert not checkpoint.steps(tmp_path)


def test_what_is_no_checkpoint_is_passed_over(tmp_path: Path):
    checkpoint.write(tmp_path, small())
    (tmp_path / "step-x").mkdir()
    (tmp_path / "step-9").mkdir()
    (tmp_path / "step-8").write_text("a file")
    (tmp_path / ".writing-7").mkdir()
    found, messages = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.progress["step"] == 3
    assert [message.split(" is ")[0] for message in messages] == ["checkpoint of step 9", "checkpoint of step 8"]


def test_without_a_folder_there_is_none(tmp_path: Path):
    assert checkpoint.newest(tmp_path / "missing") == (None, [])


def test_a_quarantine_that_cannot_be_made_is_an_error_in_one_line(tmp_path: Path):
    (checkpoint.write(tmp_path, small()) / "progress.json").unlink()
    (tmp_path / "quarantine").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot write step-3"):
        checkpoint.newest(tmp_path)

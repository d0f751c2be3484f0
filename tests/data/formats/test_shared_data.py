"""Public corpora read to the counts that are known of them; skipped where the data is absent."""

import gzip
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from fintune.data.formats.base import ReadOptions
from fintune.data.load import load

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
pytestmark = pytest.mark.skipif(not (DATA / "ner").is_dir(), reason="needs the shared data (FINTUNE_DATA)")

LISTED = {"Company": 1789, "Date": 1317, "Location": 445, "Money": 664, "Person": 285, "Product": 362, "Quantity": 442}


def test_the_seven_type_corpus():
    loaded = load(DATA / "ner" / "fire7_train.csv", kind="spans")
    assert (loaded.format, len(loaded.examples), loaded.rejected, loaded.unaligned) == ("csv", 1693, (), 1)
    assert sum(not example.spans and not example.unaligned for example in loaded.examples) == 39
    listed = Counter(
        label
        for example in loaded.examples
        for label, _ in {*example.unaligned} | {(span.label, " ".join(span.text.split())) for span in example.spans}
    )
    assert listed == LISTED
    assert sum(listed.values()) == 5304
    assert sum(len(example.spans) for example in loaded.examples) == 5509


def test_its_validation_part():
    loaded = load(DATA / "ner" / "fire7_val.csv", ReadOptions(occurrences="first"), kind="spans")
    assert len(loaded.examples) == 211
    assert sum(len(example.spans) for example in loaded.examples) + loaded.unaligned == 705


@pytest.mark.parametrize(("name", "sentences"), [("sec_fin5", 1164), ("wnut17_dev", 1009)])
def test_conll_corpora(name, sentences):
    loaded = load(DATA / "ner" / f"{name}.conll", kind="spans")
    assert (loaded.format, len(loaded.examples)) == ("conll", sentences)


@pytest.mark.parametrize("name", ["sec_fin5_gazetteer_half", "wnut17_dev_perturbed"])
def test_spans_are_those_the_conll_scorer_counts(name):
    """Gold and prediction columns of one file, counted per label and compared, against the report of the scorer."""
    report = (DATA / "oracles" / f"{name}.conlleval.txt").read_text()
    gold, found = (load(DATA / "oracles" / f"{name}.conll", ReadOptions(tag_column=column), kind="spans").examples for column in ("1", "2"))
    phrases, guessed, correct = map(int, re.search(r"with (\d+) phrases; found: (\d+) phrases; correct: (\d+)", report).groups())
    assert sum(len(example.spans) for example in gold) == phrases
    assert sum(len(example.spans) for example in found) == guessed
    assert sum(len({*one.spans} & {*other.spans}) for one, other in zip(gold, found, strict=True)) == correct
    per_label = {label: int(count) for label, count in re.findall(r"^ +(\S+): .* (\d+)$", report, flags=re.MULTILINE)}
    counted = Counter(span.label for example in found for span in example.spans)
    assert {label: counted[label] for label in per_label} == per_label


@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [
        ("sentiment/fpb_allagree.jsonl", 2264, 3),
        ("sentiment/tfns_train.jsonl", 9543, 3),
        ("topic/twitter_topic20_train.jsonl.gz", 16990, 20),
    ],
)
def test_label_corpora(name, rows, classes):
    loaded = load(DATA / name, kind="label")
    assert (len(loaded.examples), len({example.label for example in loaded.examples})) == (rows, classes)
    opener = gzip.open if name.endswith(".gz") else open
    with opener(DATA / name, "rb") as lines:
        assert sum(1 for _ in lines) == rows

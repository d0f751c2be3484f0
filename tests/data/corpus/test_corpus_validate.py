"""The corpus passes its checks and is as large as promised; each check finds the fault it is for."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from fintune.data.corpus import validate
from fintune.data.corpus.source import HERE, SCHEMA, read, read_all

ENTRIES = read_all()
COUNTS = validate.counts(ENTRIES)

SOUND = """@ doc-one earnings en 2023-08-14T07:00:00Z
- Earnings / positive
[Harlow](Company c): its [revenue](FinancialEntity r) rose about [12%](Quantity q =0.12 fraction) in [2022](Date d =2022-01-01/2022-12-31).
> Propertyof r c
> ValueChangeIncreaseby r q
? By how much did revenue rise? :: 12%
- Dividend / neutral
Shareholders of [Harlow plc](Company c) will get [£0.40](Money m =GBP 0.40) at the meeting in [Leeds](Location).
> Value c m
"""


def test_the_corpus_has_no_problem():
    assert validate.problems(ENTRIES) == []


@pytest.mark.parametrize("name", SCHEMA["types"])
def test_every_type_is_frequent(name):
    assert COUNTS["types"][name] >= 40


@pytest.mark.parametrize("name", SCHEMA["topics"])
def test_every_topic_is_frequent(name):
    assert COUNTS["topics"][name] >= 40


def test_the_corpus_is_as_large_as_promised():
    present = COUNTS["examples with"]
    assert len(ENTRIES) >= 1600
    assert present["relations"] >= 600
    assert present["an answerable question"] >= 600
    assert present["an unanswerable question"] >= 150
    assert present["normal values"] >= 400
    assert present["no span"] >= 40
    assert COUNTS["documents of"]["three or more"] >= 150
    assert set(COUNTS["relations"]) == set(SCHEMA["relations"])
    assert min(COUNTS["registers"][name] for name in SCHEMA["registers"]) >= 40


@pytest.mark.parametrize("language", [name for name in SCHEMA["languages"] if name != "en"])
def test_every_language_is_large_enough_and_has_every_type(language):
    own = [entry for entry in ENTRIES if entry.language == language]
    assert len(own) >= 40
    assert {m.label for entry in own for m in entry.mentions} >= set(SCHEMA["types"])


def test_documents_have_one_register_language_and_time():
    seen = {(entry.document, entry.register, entry.language, entry.published) for entry in ENTRIES}
    assert len(seen) == len({entry.document for entry in ENTRIES})


def test_openings_are_varied():
    openings = Counter(tuple(entry.text.lower().split()[:2]) for entry in ENTRIES)
    assert openings.most_common(1)[0][1] < 0.02 * len(ENTRIES)


def complaints(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "part.txt"
    path.write_text(text, encoding="utf-8")
    return validate.problems(list(read(path)))


def test_the_sound_text_is_sound(tmp_path):
    assert complaints(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("earnings en", "rumour en", "register 'rumour'"),
        ("earnings en", "earnings it", "language 'it'"),
        ("2023-08-14T07", "2023-08-34T07", "is not ISO 8601"),
        ("- Earnings", "- Earning", "topic 'Earning'"),
        ("/ positive", "/ good", "sentiment 'good'"),
        ("rose about", "rose  about", "double or outer blanks"),
        ("(Location)", "(Firm)", "label 'Firm'"),
        ("[12%]", "[12%,]", "at the edge of '12%,'"),
        ("=GBP 0.40", "=0.40 GBP", "is not 'CUR amount'"),
        ("=0.12 fraction", "=0.12", "is not 'number unit'"),
        ("=2022-01-01/2022-12-31", "=2022-13-01", "is not an ISO day"),
        ("=2022-01-01/2022-12-31", "=2022-12-31/2022-01-01", "ends before it starts"),
        ("[Leeds](Location)", "[Leeds](Location =GB)", "Location takes no value"),
        ("[Harlow](Company c)", "[Leeds](Location d), [Harlow](Company c)", "a key is used twice"),
        ("> Propertyof r c", "> Ownerof r c", "relation 'Ownerof'"),
        ("> Propertyof r c", "> Propertyof c r", "Propertyof may not join Company to FinancialEntity"),
        ("> Propertyof r c", "> Constituentof r r", "joins a span to itself"),
        ("Shareholders of", "Holders at Harlow plc and of", "is marked once but not at character 11"),
        ("about [12%]", "[about 12%]", "the approximator of 'about 12%'"),
        ("[£0.40]", "[at least £0.40]", "the approximator of 'at least £0.40'"),
        ("in [2022](Date d =2022-01-01/2022-12-31)", "in 2022, by [10:15 a.m.](Date)", "'10:15 a.m.' is a time of day"),
        ("in [2022](Date d =2022-01-01/2022-12-31)", "until [now](Date)", "'now' is a time of day or a vague word"),
        ("in [Leeds](Location)", "in [the Leeds](Location)", "the determiner of 'the Leeds'"),
        ("its [revenue](F", "[its revenue](F", "the determiner of 'its revenue'"),
        ("> ValueChangeIncreaseby r q", "> Propertyof r c", "a relation stands twice"),
        ("the meeting", "the [meeting](Action a)", "Action 'meeting' is the end of no relation"),
        ("=0.12 fraction", "=0.012 fraction", "should be 0.12 fraction"),
        ("[12%](Quantity q =0.12 fraction)", "[12 bps](Quantity q =0.12 fraction)", "should be 0.0012 fraction"),
        ("=2022-01-01/2022-12-31", "=2021-01-01/2021-12-31", "should be in 2022"),
        ("- Dividend", "@ doc-one earnings en 2023-08-14T07:00:00Z\n- Dividend", "doc-one-1 is at part.txt:2 already"),
    ],
)
def test_each_check_finds_its_fault(tmp_path, old, new, complaint):
    assert old in SOUND
    found = complaints(tmp_path, SOUND.replace(old, new, 1).replace(":: 12%", "::"))
    assert found
    assert all(complaint in line and line.startswith("part.txt:") for line in found), found


def test_a_text_that_is_too_short_is_found(tmp_path):
    assert "shorter than 15" in complaints(tmp_path, SOUND + "- Earnings / neutral\nToo short.\n")[0]


def test_a_near_duplicate_is_found_and_a_distant_text_is_not():
    twin = replace(ENTRIES[0], id="twin", text=ENTRIES[0].text + " Again.", mentions=(), relations=())
    other = replace(ENTRIES[1], id="other", mentions=(), relations=())
    assert len(list(validate.near_duplicates([ENTRIES[0], twin, other]))) == 1
    assert any("near duplicates" in line for line in validate.problems([ENTRIES[0], twin]))


def test_monotonous_openings_are_found():
    few = [replace(entry, text=f"The group {entry.text}", mentions=(), relations=()) for entry in ENTRIES[:3]]
    assert any("open with 'the group'" in line for line in validate.problems(few + ENTRIES[3:103]))


def test_the_index_finds_the_pairs_that_comparing_all_pairs_finds(monkeypatch):
    """Brute-force twin on a random part, at a limit low enough that there are pairs to find."""
    monkeypatch.setattr(validate, "SHINGLE_LIMIT", 0.03)
    part = random.Random(7).sample(ENTRIES, 250)
    sets = {entry.id: set(validate.shingles(entry)) for entry in part}

    def jaccard(a: str, b: str) -> float:
        return len(sets[a] & sets[b]) / max(1, len(sets[a] | sets[b]))

    expected = {frozenset((a.where, b.where)) for a, b in combinations(part, 2) if jaccard(a.id, b.id) >= 0.03}
    found = {frozenset(line.removesuffix(": near duplicates").split(" and ")) for line in validate.near_duplicates(part)}
    assert found == expected
    assert len(expected) >= 3


def test_main_reports_counts_and_faults(tmp_path, capsys):
    path = tmp_path / "part.txt"
    path.write_text(SOUND, encoding="utf-8")
    assert validate.main([str(path)]) == 0
    assert "2 examples, 0 problems" in capsys.readouterr().out
    path.write_text(SOUND.replace("- Earnings", "- Earning"), encoding="utf-8")
    assert validate.main([str(path)]) == 1
    path.write_text(SOUND.replace("> Value c m", "> Value c"), encoding="utf-8")
    assert validate.main([str(path)]) == 1
    assert "part.txt:9: a relation is" in capsys.readouterr().out


def test_main_takes_the_whole_corpus_without_arguments(capsys):
    assert validate.main([]) == 0
    assert f"{len(ENTRIES)} examples, 0 problems" in capsys.readouterr().out
    assert len(list((HERE / "source").glob("*.txt"))) > 1

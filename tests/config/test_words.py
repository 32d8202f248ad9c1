"""Words of a command line that Hydra's grammar does not take as they are: read, or refused with the word to type."""

import subprocess
from pathlib import Path

import pytest

import train
from lewm.ablation.cells import make_cells
from lewm.config import AblateConfig, PlanConfig, TrainConfig
from lewm.config.command_line import parse_words, plain_words, quoted, word_of
from scripts import ablate, collect, plan
from tests.programs import TINY, assert_one_line_error, compose, refusal, run_program

ODD = {
    "name=lr=0.1": "\"name='lr=0.1'\"",
    "data.path=/data/robot (copy)/x": "\"data.path='/data/robot (copy)/x'\"",
    "name=größe": "\"name='größe'\"",
    "data.path=/a#b": "\"data.path='/a#b'\"",
    "data.path=C:\\\\data (1)\\\\": None,
    "data.path=/a's (1)/b": None,
    "data.path=/$HOME (1)/`b`": None,
}
"""Words that Hydra cannot read, and the one to type in a shell; None: whatever comes out as it was meant."""


@pytest.mark.parametrize(("word", "remedy"), ODD.items())
def test_a_word_that_needs_quotes_is_refused_with_the_word_to_type(word, remedy):
    message = refusal(parse_words, ["seed=0", word, "resume=true"])
    assert repr(word) in message
    shown = message.partition(" give ")[2]
    assert remedy in (None, shown)
    typed = subprocess.run(["sh", "-c", f"printf %s {shown}"], capture_output=True, encoding="utf-8", check=True).stdout
    (parsed,) = parse_words([typed])
    assert f"{parsed.key_or_group}={parsed.value()}" == word


@pytest.mark.parametrize("word", ["seed=[1", "model.flow={name: affine_coupling", "name='a", "na me=3", "größe=3"])
def test_a_word_that_no_quotes_mend_is_named(word):
    message = refusal(parse_words, ["seed=0", word])
    assert repr(word) in message
    assert " give " not in message


@pytest.mark.parametrize("program", [train.main, collect.main, plan.main, ablate.main])
def test_every_program_names_the_word(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    word = "data_path=/robot (copy)"
    assert_one_line_error(run_program(program, "seed=0,1", word), repr(word), "\"data_path='/robot (copy)'\"")
    assert list(tmp_path.iterdir()) == []


def read(*words, schema=TrainConfig):
    """What these words give keys, after Hydra's parser."""
    return {each.key_or_group: each.value() for each in parse_words(plain_words(schema, words))}


@pytest.mark.parametrize("text", ["2024", "1e3", "1_000", "0.10", "true", "007", "-1", "inf", "null_", "a", "x.y-z"])
def test_text_that_looks_like_a_number_stays_text(text):
    assert read(f"name={text}", f"+data.path={text}") == {"name": text, "data.path": text}


def test_numbers_stay_numbers_and_null_stays_null():
    words = ("seed=2024", "data.path=null", "training.precision=auto", "training.graph=true", "model.actor=null")
    assert read(*words) == {
        "seed": 2024,
        "data.path": None,
        "training.precision": "auto",
        "training.graph": True,
        "model.actor": None,
    }


def test_each_value_of_a_sweep_stays_text():
    (parsed,) = parse_words(plain_words(TrainConfig, ["data.path=2024,x,1.50"]))
    texts = [f"data.path={text}" for text in parsed.sweep_string_iterator()]
    assert [each.value() for each in parse_words(texts)] == ["2024", "x", "1.50"]


def test_a_configuration_has_the_text(monkeypatch):
    assert compose(*plain_words(TrainConfig, [*TINY, "name=2024"])).name == "2024"


@pytest.mark.parametrize("value", ["~/x", "'~/x'", '"~/x"', "~"])
def test_a_tilde_is_the_home_folder(monkeypatch, value):
    monkeypatch.setenv("HOME", "/home/ann")
    bare = value.strip("'\"")
    expected = bare.replace("~", "/home/ann")
    assert read(f"data.path={value}") == {"data.path": expected}
    assert read(f"run={value}", schema=PlanConfig) == {"run": expected}


def test_tildes_elsewhere_stay_as_they_are(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    words = ["~training.ema_decay", "data.path='/a/~/b'", "data.path='a~'", "--config-dir=~/x"]
    assert plain_words(TrainConfig, words) == words
    assert plain_words(TrainConfig, ["data.path=~/a,~/b"]) == ["data.path=/home/ann/a,/home/ann/b"]


@pytest.mark.parametrize("text", ["runs/a", "a b", "it's", "a\\\\'b", "a\\", "a\\b", "ä", "x=1", "{a", "$x"])
def test_a_quoted_text_is_read_as_it_was(text):
    (parsed,) = parse_words([f"key={quoted(text)}"])
    assert parsed.value() == text


@pytest.mark.parametrize(
    ("name", "word"), [("tiny", "name=tiny"), ("lr=0.1", "\"name='lr=0.1'\""), ("größe", "\"name='größe'\"")]
)
def test_a_word_to_type_has_quotes_where_it_needs_them(name, word):
    assert word_of("name", name) == word


def test_an_ablation_reads_its_words_alike(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config, own, sweep = ablate.read_arguments(["name=2024", "output_dir=~/out", "data.path=~/data", "seed=0,1"])
    assert (config.name, config.output_dir) == ("2024", f"{tmp_path}/out")
    assert all(cell.config.data.path == f"{tmp_path}/data" for cell in make_cells(sweep, Path(config.output_dir)))
    assert plain_words(AblateConfig, own) == own

"""`tfgen list RECIPE`: the story, every hyper-parameter with its meaning, the papers' numbers and the kept ones."""

import dataclasses
import json
import re

import pytest
from helpers import StubModule

from tfgen.errors import InputError
from tfgen.recipe import Published
from tfgen.recipes import MODULES, RECIPES
from tfgen.report import description, documents
from tfgen.report.tables import as_setting

METRIC = {"value": 13.866, "unit": "u", "split": "test", "n": 10_000}
RESULT = {
    "recipe": "stub",
    "lecture_items": ["A1"],
    "dataset": "mnist",
    "comparable": True,
    "preset": "smoke",
    "seed": 5,
    "seconds": 1000.4,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "config": {"epochs": 1, "batch_size": 50, "learning_rate": 0.1},
    "metrics": {"test_squared_error": {**METRIC, "standard_error": 0.25}, "other": METRIC},
}


@pytest.fixture
def checkout(stub, monkeypatch, tmp_path):
    monkeypatch.setattr(description, "CHECKOUT", tmp_path)
    return tmp_path


def test_a_recipe_s_story_numbers_and_settings_are_told(checkout, monkeypatch):
    recipe = dataclasses.replace(StubModule.RECIPE, published={"test_squared_error": Published(13.87, "Someone 1999")})
    monkeypatch.setitem(RECIPES, "stub", recipe)
    for seed in (1, 0):
        path = checkout / documents.KEPT / f"smoke-{seed}" / "stub" / "results.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**RESULT, "seed": seed, "seconds": 1000.4 + 2 * seed}))
    assert description.description("stub") == "\n".join(
        [
            " ".join(StubModule.__doc__.split()),
            "",
            "Hyper-parameters (--set FIELD=VALUE changes one):",
            "  epochs = 1 (smoke), 2 (quick)",
            "      passes through the training images; of a set too small for 100 batches, 100 batches are an epoch.",
            "      Allowed: a whole number of at least 1, below 2**31.",
            "  batch_size = 50",
            "      images of an update.",
            "      Allowed: a whole number of at least 1, below 2**31.",
            "  learning_rate = 0.1",
            "      of gradient descent.",
            "      Allowed: a number greater than 0 that float32 can hold.",
            "",
            "Published:",
            "  test_squared_error = 13.87 (Someone 1999)",
            "",
            "Kept results, on MNIST:",
            "  tfgen run stub --preset smoke, seeds 0, 1; 1,001 s on 2 cores:",
            "    test_squared_error = 13.87 (standard error 0.25), 13.87 (standard error 0.25)",
        ]
    )


def test_without_a_checkout_it_is_told_where_results_are(checkout):
    told = description.description("stub")
    assert told.endswith("Kept results, on MNIST:\n  none in this installation; see docs/results")
    assert "Published:" not in told


def test_a_metric_that_is_newer_than_a_kept_result_is_no_error(checkout, monkeypatch):
    headline = (*StubModule.RECIPE.headline, "newer")
    monkeypatch.setitem(RECIPES, "stub", dataclasses.replace(StubModule.RECIPE, headline=headline))
    path = checkout / documents.KEPT / "smoke-5" / "stub" / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(RESULT))
    assert description.description("stub").endswith("(standard error 0.25)\n    newer = not measured")


@pytest.mark.parametrize("name", RECIPES)
def test_every_hyper_parameter_of_every_recipe_has_a_meaning_and_its_value_in_each_preset(name):
    told, presets = description.description(name, width=1000), RECIPES[name].presets
    assert " ".join(told.split()).startswith(" ".join(MODULES[name].__doc__.split()))
    parts = re.findall(r"^  (\w+) = (.+)\n {6}(\S.+)\n {6}Allowed: (.+)\.$", told, re.MULTILINE)
    first = next(iter(presets.values()))
    assert [field for field, _, _, _ in parts] == [field.name for field in dataclasses.fields(first)]
    for field, values, meaning, allowed in parts:
        # A value that is refused is told the same words.
        wrong = () if allowed.startswith("an odd number of widths") else object
        with pytest.raises(InputError, match=re.escape(f"{field} must be {allowed}, got ")):
            first.replace(**{field: wrong})
        assert meaning.endswith(".") and not meaning.endswith("..")
        # The text of a value is what --set takes.
        texts = {preset: as_setting(getattr(config, field)) for preset, config in presets.items()}
        alone = {text for text in texts.values() if text == values}
        assert alone == set(texts.values()) or all(f"{text} ({preset})" in values for preset, text in texts.items())
    for metric, number in RECIPES[name].published.items():
        assert f"  {metric} = {number.value} ({number.source})" in told


@pytest.mark.parametrize("width", [40, 79, 200])
def test_lines_are_wrapped_to_the_width_of_the_terminal(width):
    for name in RECIPES:
        told = description.description(name, width)
        assert all(len(line) <= width or len(line.split()) <= 2 for line in told.splitlines())
        assert told.split() == description.description(name, width=1000).split()
        # Paragraphs begin at the margin, and go on there.
        story = told.split("\nSource: ")[0]
        assert not re.search(r"^ ", story, re.MULTILINE)


def test_the_kept_results_of_this_checkout_are_told():
    for name in RECIPES:
        kept = [result for result in documents.kept_results(description.CHECKOUT) if result["recipe"] == name]
        told = description.description(name, width=1000).partition("Kept results, on MNIST:\n")[2]
        presets = list(dict.fromkeys(result["preset"] for result in kept))
        assert sorted(re.findall(rf"^  tfgen run {name} --preset (\w+)\b.*, seeds \d", told, re.MULTILINE)) == sorted(
            presets
        )
        metrics = re.findall(r"^    (\w+) = .+$", told, re.MULTILINE)
        assert metrics == list(RECIPES[name].headline) * len(presets)

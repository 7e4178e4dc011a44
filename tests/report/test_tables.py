"""Tables print every number as it was measured, beside what papers report, and the command that repeats a run."""

import csv
import dataclasses
import io
import json
import shlex

import pytest
from helpers import FREE_TEXTS, StubModule, rendered
from hypothesis import given, settings

from tfgen import cli
from tfgen.errors import InputError
from tfgen.recipe import Count, Fraction, Positive, Published
from tfgen.recipes import MODULES, RECIPES
from tfgen.report import tables
from tfgen.runner.request import Request

METRIC = {"value": 13.866, "unit": "u", "split": "test", "n": 10_000}
RESULT = {
    "recipe": "stub",
    "lecture_items": ["A1", "A3"],
    "dataset": "mnist",
    "comparable": True,
    "preset": "smoke",
    "seed": 5,
    "deterministic": False,
    "seconds": 60.4,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "config": {"epochs": 1, "batch_size": 50, "learning_rate": 0.1},
    "metrics": {"test_squared_error": METRIC, "other": METRIC},
}


def of_seed(seed, value, **changed):
    """Returns a result of another seed, whose error is `value`."""
    return {**RESULT, "seed": seed, "metrics": {"test_squared_error": {**METRIC, "value": value, **changed}}}


@pytest.fixture(autouse=True, scope="module")
def published():
    recipe = dataclasses.replace(
        StubModule.RECIPE, published={"test_squared_error": Published(13.87, "Someone 1999, figure 2B")}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "stub", recipe)
        yield


def test_the_table_prints_published_beside_ours():
    judged = {**METRIC, "classifier": "hash", "classifier_test_error": 0.0052}
    result = {**RESULT, "metrics": {"test_squared_error": METRIC, "k": judged}}
    assert tables.rows([result]) == [
        ("stub", "A1 A3", "test_squared_error", "13.87", "13.87", "u; test, n = 10,000"),
        ("stub", "A1 A3", "k", "not reported", "13.87", "u, classifier of test error 0.0052; test, n = 10,000"),
    ]
    assert tables.metric_rows(result) == [
        ("`test_squared_error`", "u", "test, 10,000", "13.87 (Someone 1999, figure 2B)", "13.87"),
        ("`k`", "u, classifier of test error 0.0052", "test, 10,000", "not reported", "13.87"),
    ]
    assert [row[3] for row in tables.rows([{**result, "comparable": False}])] == ["not comparable"] * 2
    assert [row[3] for row in tables.metric_rows({**result, "comparable": False})] == ["not comparable"] * 2


@pytest.mark.parametrize(
    "value, printed",
    [
        (None, "not finite"),
        (0.04619, "0.04619"),
        (99.078, "99.08"),
        (101200.0, "101,200"),
        (-394.408, "-394.41"),
        (0.0, "0"),
        (7, "7"),
    ],
)
def test_the_table_prints_counts_whole_and_measurements_rounded(value, printed):
    assert tables.value_text({**METRIC, "value": value}) == printed


@pytest.mark.parametrize(
    "details, printed",
    [
        ({"std": 0.0712}, "13.87 ± 0.071"),
        ({"std": 2e-5}, "13.87 ± 2e-05"),
        ({"std": 1.1e-6}, "13.87 ± 0"),  # What float32 rounds.
        ({"standard_error": 1.6449}, "13.87 (standard error 1.6)"),
        ({"std": 0.5, "sigma": 0.21544, "at_edge": False}, "13.87 ± 0.5 (sigma 0.215)"),
        ({"sigma": 0.1, "at_edge": True}, "13.87 (sigma 0.100, sigma at the edge of the grid)"),
    ],
)
def test_a_value_is_printed_with_its_spread_and_its_details(details, printed):
    assert tables.value_text({**METRIC, **details}) == printed


def test_the_plain_table_has_aligned_columns():
    lines = tables.table([RESULT, {**RESULT, "recipe": "vae"}]).splitlines()
    assert len(lines) == 6
    assert [cell.strip() for cell in lines[0].split("|")] == list(tables.HEADER)
    assert [cell.strip() for cell in lines[2].split("|")] == list(tables.rows([RESULT])[0])
    places = [[i for i, character in enumerate(line) if character in "|+"] for line in lines]
    assert len(places[0]) == 5 and all(place == places[0] for place in places)


def test_a_cell_of_a_markdown_table_may_hold_a_bar():
    written = tables.markdown_table(("a", "b"), [(tables.escaped("log p(x|z)"), "1")])
    assert written == "| a | b |\n| --- | --- |\n| log p(x\\|z) | 1 |"


@settings(max_examples=300, deadline=None)
@given(text=FREE_TEXTS)
def test_escaped_text_is_shown_as_it_is_wherever_it_stands(text):
    escaped = tables.escaped(text)
    assert "<" not in escaped
    assert rendered(escaped) == (["<p>", "</p>"], [text])
    assert rendered(f"It is {escaped}, says the file.") == (["<p>", "</p>"], [f"It is {text}, says the file."])
    assert rendered(f"- {escaped} alone") == (["<ul>", "<li>", "</li>", "</ul>"], [f"{text} alone"])
    _, texts = rendered(tables.markdown_table(("a", "b"), [(escaped, "1"), ("2", escaped)]))
    assert texts == ["a", "b", text, "1", "2", text]


def told(text):
    """Returns a result in which every text of which nobody knows what it holds is this one."""
    metric = {**METRIC, "unit": text, "split": text, "classifier": text, "classifier_test_error": 0.01}
    return {**RESULT, "dataset": text, "metrics": {"test_squared_error": metric, "other": metric}}


@settings(max_examples=100, deadline=None)
@given(text=FREE_TEXTS)
def test_no_text_of_a_results_file_becomes_markup_in_the_table_of_a_readme(text):
    tags, texts = rendered(tables.results_table([told(text)]))
    plain_tags, plain_texts = rendered(tables.results_table([told("plain")]))
    assert tags == plain_tags
    assert texts == [shown.replace("plain", text) for shown in plain_texts]


@settings(max_examples=100, deadline=None)
@given(text=FREE_TEXTS)
def test_no_text_of_a_results_file_moves_the_lines_of_the_printed_table(text):
    result = told(text)
    printed = tables.table([result]).split("\n")
    assert len(printed) == 4 and all(line.isprintable() for line in printed)
    # It is one argument of the command, as it came.
    assert shlex.split(tables.command(result))[5:7] == ["--dataset", text]


# The documents' table.


def test_the_documents_table_has_the_headline_metrics_and_how_they_came_about():
    shown, made = tables.results_table([RESULT]).split("\n\n")
    assert shown.splitlines()[2:] == [
        "| A1 A3 | `stub --preset smoke` | 5 | 60 | `test_squared_error` | u | test, 10,000 "
        "| 13.87 (Someone 1999, figure 2B) | 13.87 |"
    ]
    assert made.startswith("Dataset mnist; machine of 2 CPU cores, TensorFlow 2.21.0. Of several seeds: mean")


def test_the_documents_table_shows_what_was_changed():
    config = {"epochs": 30, "batch_size": 20, "learning_rate": 0.1}
    shown = tables.results_table([{**RESULT, "config": config, "deterministic": True}])
    assert "| `stub --preset smoke --epochs 30 --set batch_size=20 --deterministic` |" in shown


def test_several_seeds_have_a_mean_and_a_standard_deviation():
    """99.5 and 100.5: mean 100; with two values the standard deviation is their difference over the root of 2."""
    shown = tables.results_table([{**of_seed(6, 100.5), "seconds": 40.0}, of_seed(5, 99.5)])
    assert "| `stub --preset smoke` | 5, 6 | 50 | `test_squared_error` | u |" in shown
    assert "| 100 ± 0.71 |" in shown
    three = tables.results_table([of_seed(seed, value) for seed, value in ((1, 1.0), (2, 2.0), (3, 6.0))])
    # Mean 3 and the root of (4 + 1 + 9) / 2.
    assert "| 1, 2, 3 |" in three and "| 3 ± 2.6 |" in three


def test_a_mean_keeps_the_details_that_are_common_to_all_seeds():
    same = tables.results_table([of_seed(seed, 2.0, sigma=0.2, standard_error=seed) for seed in (1, 2)])
    assert "| 2 ± 0 (sigma 0.200) |" in same
    other = tables.results_table([of_seed(seed, 2.0, sigma=seed / 10, at_edge=seed == 1) for seed in (1, 2)])
    assert "| 2 ± 0 (sigma at the edge of the grid) |" in other


def test_a_mean_with_a_value_that_is_not_finite_is_not_finite():
    assert "| not finite |" in tables.results_table([of_seed(1, 2.0), of_seed(2, None)])


def test_recipes_and_presets_stand_in_their_order():
    results = [
        {**RESULT, "preset": "quick", "config": {**RESULT["config"], "epochs": 2}},
        {**RESULT, "recipe": "vae", "metrics": dict.fromkeys(RECIPES["vae"].headline, METRIC), "config": {}},
        RESULT,
    ]
    lines = tables.results_table(results).split("\n\n")[0].splitlines()[2:]
    count = len(RECIPES["vae"].headline)
    options = [line.split(" | ")[1] for line in lines]
    assert options == [*["`vae --preset smoke`"] * count, "`stub --preset smoke`", "`stub --preset quick`"]


OTHER_RATE = {**RESULT, "config": {**RESULT["config"], "learning_rate": 0.2}}


@pytest.mark.parametrize(
    "results, said",
    [
        ([RESULT, RESULT], "stub in preset smoke have the same seed twice"),
        ([RESULT, {**RESULT, "seed": 6, "dataset": "digits"}], "differ in more than the seed"),
        ([RESULT, {**RESULT, "seed": 6, "deterministic": True}], "differ in more than the seed"),
        ([RESULT, {**RESULT, "seed": 6, "config": {"epochs": 2}}], "differ in more than the seed"),
        ([{**RESULT, "seed": 6, "config": {"epochs": 1}}, OTHER_RATE], "differ in more than the seed"),
        ([of_seed(1, 1, classifier="a"), of_seed(2, 1, classifier="b")], "measured with 2 classifiers"),
        ([{**RESULT, "metrics": {"other": METRIC}}], "results of stub have no test_squared_error; run it anew"),
    ],
)
def test_results_that_do_not_go_together_are_refused(results, said):
    with pytest.raises(InputError, match=said):
        tables.results_table(results)


def test_a_result_from_before_a_field_goes_with_those_of_its_default():
    old = {**RESULT, "seed": 6, "config": {"epochs": 1, "batch_size": 50}}
    assert tables.groups([RESULT, old]) == [[RESULT, old]]


def test_the_table_is_written_between_the_marks_alone(tmp_path):
    path, (start, end) = tmp_path / "README.md", tables.RESULTS_MARKS
    path.write_text(f"before é\n{start}\nstale\n{end}\nafter\n", encoding="utf-8")
    for _ in range(2):
        tables.write_results_table([RESULT], path)
        written = f"before é\n{start}\n{tables.results_table([RESULT])}\n{end}\nafter\n"
        assert path.read_text(encoding="utf-8") == written


@pytest.mark.parametrize("text", ["no marks", "{1}\n{0}\n", "{0}\n", "{0}\n{0}\n{1}\n"])
def test_a_file_without_the_marks_is_left_as_it_is(tmp_path, text):
    text = text.format(*tables.RESULTS_MARKS)
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(InputError, match=r"README\.md needs one line '<!-- results.* add them where the table belongs"):
        tables.write_results_table([RESULT], tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == text


def test_results_of_several_datasets_are_not_one_table(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("\n".join(tables.RESULTS_MARKS))
    results = [RESULT, {**RESULT, "dataset": "digits", "preset": "quick"}]
    own = {**RESULT, "recipe": "vae-static", "preset": "paper", "dataset": "binarized_mnist"}
    own["metrics"] = dict.fromkeys(RECIPES["vae-static"].headline, METRIC)
    tables.write_results_table([RESULT, own], path)
    with pytest.raises(InputError, match="several datasets"):
        tables.write_results_table(results, path)


# The command of a run.


def result_of(name, preset, *settings, epochs, **changed):
    """Returns what `command` reads of the results of a run with these changes."""
    config = RECIPES[name].presets[preset].with_settings([f"epochs={epochs}", *settings])
    kept = json.loads(json.dumps(dataclasses.asdict(config)))
    return {"recipe": name, "preset": preset, "dataset": "mnist", "seed": 3, "config": kept, **changed}


def config_of(words, tmp_path):
    """Returns the configuration that the words of a command ask for, read as the command line reads them."""
    arguments = cli._parser().parse_args(words[1:])
    options = {option: getattr(arguments, option) for option in ("preset", "epochs", "settings")}
    return Request(arguments.recipes[0], **options, output_dir=tmp_path).config()


def test_a_run_without_changes_has_a_short_command():
    assert tables.command(RESULT) == "tfgen run stub --preset smoke --dataset mnist --seed 5"
    assert tables.command(RESULT, seed=False) == "tfgen run stub --preset smoke --dataset mnist"


CHANGES = {
    "shallow-autoencoder": (),
    "stacked-autoencoder": ("hidden_units=30,15,30", "precision=mixed_bfloat16"),
    "vae": ("hidden_units=(40,)", "learning_rate=3e-05", "activation=relu"),
    "vae-gaussian": ("hidden_units=8,4",),
    "gan": ("noise=unit-variance uniform", "learning_rate_decay=true", "generator_loss=minimax"),
    "iwae-burda": ("stages=(1,0.25,1e-3),(5,0.75,2e-3)",),
    "vae-burda": ("stages=(1,1.0,0.004)", "epsilon=1e-08"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_command_of_a_run_asks_for_its_configuration(name, tmp_path):
    """What it prints of a changed field, `--set` reads back, through the shell."""
    result = result_of(name, "smoke", *CHANGES[name], epochs=7, deterministic=True)
    words = shlex.split(tables.command(result))
    assert words[:3] == ["tfgen", "run", name] and words[-1] == "--deterministic"
    assert words.count("--set") == len(CHANGES[name]) and words[words.index("--epochs") + 1] == "7"
    assert words[words.index("--seed") + 1] == "3"
    assert json.loads(json.dumps(dataclasses.asdict(config_of(words, tmp_path)))) == result["config"]


@pytest.mark.parametrize("name", MODULES)
def test_every_field_of_every_preset_is_read_back_from_its_text(name):
    for config in RECIPES[name].presets.values():
        # What results.json holds has lists where a configuration has tuples.
        for values in (dataclasses.asdict(config), json.loads(json.dumps(dataclasses.asdict(config)))):
            texts = [f"{field}={tables.as_setting(value)}" for field, value in values.items()]
            assert config.with_settings(texts) == config


@dataclasses.dataclass(frozen=True)
class ListsConfig(type(StubModule.RECIPE.presets["smoke"])):
    """Lists of lengths that no recipe has today."""

    empty: tuple[Count, ...] = ()
    one: tuple[Count, ...] = (3,)
    groups: tuple[tuple[Count, Fraction, Positive], ...] = ((1, 0.5, 1e-20), (2, 1.0, 3.0))
    flag: bool = True


def test_lists_of_any_length_are_read_back_from_their_text():
    config = ListsConfig(epochs=1)
    other = ListsConfig(epochs=2, empty=(1, 2), one=(), groups=((1, 0.0, 1.0),), flag=False)
    for values in (config, other):
        texts = [f"{field}={tables.as_setting(value)}" for field, value in vars(values).items()]
        assert config.with_settings(texts) == values


def test_the_short_table_gives_each_metric_the_verdict_that_follows_from_its_error(monkeypatch):
    """Of seeds 99.5 and 100.5: mean 100, standard deviation 0.707."""
    runs = [of_seed(5, 99.5), of_seed(6, 100.5)]
    name = next(iter(RESULT["metrics"]))
    highlights = [(RESULT["recipe"], RESULT["preset"], name, "the model", "its measure")]

    def shown(published, source="a paper"):
        recipe = RECIPES[RESULT["recipe"]]
        new = {} if published is None else {name: Published(published, source)}
        monkeypatch.setitem(RECIPES, RESULT["recipe"], dataclasses.replace(recipe, published=new))
        *_, row = tables.highlights_table(runs, highlights).splitlines()
        return [cell.strip() for cell in row.strip("|").split(" | ")]

    model = ["the model", f"`{RESULT['recipe']} --preset {RESULT['preset']}`", "its measure"]
    assert shown(101.0) == [*model, "101", "100 ± 0.71", "reached"]
    assert shown(100.0)[5] == "reached"
    assert shown(98.6)[5] == "reached, within its error"
    assert shown(98.5)[5] == "missed by 1.5"
    assert shown(98.5, "not verified, a paper")[3] == "98.5 (not verified)"
    assert shown(None)[3:] == ["not reported", "100 ± 0.71", ""]
    with pytest.raises(InputError, match="no kept results of vae in preset paper"):
        tables.highlights_table(runs, [("vae", "paper", name, "the model", "its measure")])


def test_of_log_likelihoods_more_is_better():
    assert tables.verdict("parzen_log_likelihood", {"value": 220.0, "standard_error": 2.0}, 225.0) == "missed by 5"
    assert (
        tables.verdict("parzen_log_likelihood", {"value": 221.0, "standard_error": 2.0}, 225.0)
        == "reached, within its error"
    )
    assert tables.verdict("parzen_log_likelihood", {"value": 226.0}, 225.0) == "reached"
    # Without a known error there is no margin.
    assert tables.verdict("test_nll", {"value": 85.01}, 85.0) == "missed by 0.01"


def test_the_table_for_machines_has_a_line_for_each_metric_of_each_run():
    versions = [{"commit": "a" * 40}, {"commit": "b" * 40}]
    training = {"parameters": 1570, "epochs": 1, "loss": 9.0, "val_loss": 8.5}
    metrics = {"test_squared_error": {**METRIC, "standard_error": 0.2}, "other": {**METRIC, "value": None}}
    result = {**RESULT, "metrics": metrics, "trainings": {"training": training}, "versions": versions}
    lines = list(csv.DictReader(io.StringIO(tables.csv_table([result, {**RESULT, "seed": 6, "comparable": False}]))))
    assert [(line["seed"], line["metric"]) for line in lines] == [
        (seed, metric) for seed in ("5", "6") for metric in ("test_squared_error", "other")
    ]
    first, second, foreign, _ = lines
    assert {key: first[key] for key in ("value", "standard_error", "std", "n", "published", "source")} == {
        "value": "13.866",
        "standard_error": "0.2",
        "std": "",
        "n": "10000",
        "published": "13.87",
        "source": "Someone 1999, figure 2B",
    }
    assert (first["parameters"], first["validation_loss"], first["commit"]) == ("1570", "8.5", "b" * 40)
    assert shlex.split(first["command"]) == shlex.split(tables.command(result))
    assert second["value"] == second["published"] == ""
    # Not comparable, and of a version that kept less.
    assert foreign["published"] == foreign["source"] == foreign["parameters"] == foreign["commit"] == ""


def test_the_mean_over_seeds_has_the_first_unit_where_a_unit_holds_what_was_measured():
    results = [of_seed(0, 13.0, unit="norm, D at 0.1"), of_seed(1, 15.0, unit="norm, D at 0.2")]
    assert "| 14 ± 1.4 | norm, D at 0.1; test" in " ".join(tables.table(results).split())

"""The README and the documents keep their word: code runs, commands exist, tables are what was measured."""

import dataclasses
import inspect
import json
import pathlib
import pkgutil
import re
import shlex
import shutil
import statistics
import sys

import keras
import numpy as np
import PIL.Image
import pytest

from tfgen import cli, data
from tfgen.recipe import LECTURE
from tfgen.recipes import RECIPES
from tfgen.report import documents, tables
from tfgen.runner.request import Request

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# Documents of the same commands, code and tables.
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = (*READMES, "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
COMMANDS = re.findall(
    r"^\$ (.+?)(?: {2,}#.*)?$", "".join((ROOT / name).read_text() for name in DOCUMENTS), re.MULTILINE
)
KEPT = documents.kept_results(ROOT)


def table_of(text):
    """Returns the cells of a Markdown table's rows, without its heading."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return [row for row in rows if not set("".join(row)) <= {"-", "|", " "}][1:]


def section(text, number):
    """Returns a section of a text with headings, without its heading."""
    return re.split(r"^## .*$", text, flags=re.MULTILINE)[number]


def test_the_model_of_the_readme_is_the_newest_and_says_what_it_is_said_to_say(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(import tensorflow.*?)```", README, re.DOTALL)
    (path,) = re.findall(r'load\("(saved_models/\w+/\d+)"\)', code)
    versions = [path for path in (ROOT / path).parent.iterdir() if path.name.isdigit()]
    assert max(versions, key=lambda path: int(path.name)) == ROOT / path
    exec(code, {})
    (said,) = re.findall(r"```text\n(.*?)```", section(README, 1), re.DOTALL)
    # The last digits are the machine's.
    numbers = [re.findall(r"[\d.]+", text) for text in (capsys.readouterr().out, said)]
    np.testing.assert_allclose(*(np.array(each, float) for each in numbers), atol=1e-5)


def test_the_python_example_trains(monkeypatch):
    # Other tests have imported modules that a fresh process would not have: its own imports must do.
    for name in list(sys.modules):
        package, _, module = name.rpartition(".")
        if re.fullmatch(r"tfgen\.(data|models|evaluation|training)", package):
            monkeypatch.delattr(sys.modules[package], module, raising=False)
    (code,) = re.findall(r"```python\n(import keras\nimport tfgen.*?)```", README, re.DOTALL)
    names = {}
    exec(code, names)
    assert int(names["vae"].optimizer.iterations) == 10 * 10
    assert names["images"].shape == (1250, 784) and set(np.unique(names["images"])) == {0, 1}
    assert np.all(np.isfinite(names["vae"].predict(names["images"], verbose=0)))
    keras.backend.clear_session()


@pytest.mark.parametrize("command", [command for command in dict.fromkeys(COMMANDS) if command.startswith("tfgen ")])
def test_commands_are_ones_the_parser_takes(command, tmp_path):
    arguments = shlex.split(command, comments=True)
    parsed = cli._parser().parse_args(arguments[1:])
    assert callable(parsed.function)
    if parsed.command == "run":
        names = list(RECIPES) if parsed.all else parsed.recipes
        # Those without the preset are left out of --all.
        for name in (name for name in names if not parsed.all or parsed.preset in RECIPES[name].presets):
            request = Request(name, parsed.preset, parsed.seed, parsed.epochs, parsed.settings, output_dir=tmp_path)
            assert (request.config() == RECIPES[name].presets[parsed.preset]) is not bool(
                parsed.settings or parsed.epochs
            )
    if parsed.command == "list":
        assert parsed.recipe is None or parsed.recipe in RECIPES


def test_other_commands_are_targets_of_the_makefile_or_held_elsewhere():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = {
        target
        for command in COMMANDS
        if command.startswith("make ")
        for target in command.split()[1:]
        if "=" not in target and target[0] != "-"
    }
    assert made <= set(targets) and {"install", "replicate", "test"} <= made
    elsewhere = {command.split()[0] for command in COMMANDS} - {"tfgen", "make"}
    # Of docs/serving.md and docs/distributed.md, whose files tests/serving/test_deployment.py and
    # tests/runner/test_clusters.py hold, of CONTRIBUTING.md, and the activation of .venv.
    shell = {".", "cd", "printf", "sudo", "openssl", "export", "bash"}
    assert elsewhere == shell | {"curl", "docker", "kubectl", "python", "sbatch"}


def test_the_first_ten_minutes_of_the_readme_run(tmp_path, monkeypatch):
    """As they are written, on few pictures and with few batches, but for the installation."""
    assert "fifty at least" in section(README, 1)
    commands = re.findall(r"^\$ (.+?)(?: {2,}#.*)?$", section(README, 1), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["make", ".", "tfgen", "tfgen", "tfgen"]
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "my_pictures" / name).mkdir(parents=True)
        for i in range(25):  # As few as the README says.
            PIL.Image.fromarray(rng.integers(0, 256, (12, 10), np.uint8)).save(
                tmp_path / "my_pictures" / name / f"{i}.png"
            )
    shutil.copytree(ROOT / "saved_models" / "gan", tmp_path / "saved_models" / "gan")
    sizes = []
    for command in commands[2:]:
        # Of the same preset, so that only the time is another.
        shorter = ["--epochs", "1"] if " run " in command else []
        assert cli.main([*shlex.split(command)[1:], *shorter]) == 0
        if "sample" in command:
            with PIL.Image.open(tmp_path / "grid.png") as grid:
                sizes.append(grid.size)
    # 64 images of 28x28, then of 10x12.
    assert sizes[0][0] == sizes[0][1] and sizes[1][0] < sizes[1][1]
    assert (tmp_path / "runs" / "report.html").is_file()


def test_the_pictures_and_arrays_of_data_md_are_images_that_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(7):
            PIL.Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(f"photos/{name}/{i}.jpg")
    resize, arrays = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    exec(resize, {})
    exec(arrays, {})
    pictures, mine = data.load("my_pictures"), data.load("my_images.npz")
    assert (pictures.image_shape, pictures.classes, len(pictures.test)) == ((28, 28), 2, 2)
    assert (mine.image_shape, mine.classes, len(mine.train), len(mine.test)) == ((20, 30), None, 500, 100)


def test_the_table_of_datasets_names_all_that_can_be_chosen():
    table = (ROOT / "docs" / "data.md").read_text().partition("## Prepare")[0]
    assert set(re.findall(r"`([\w/]+)`", table)) - {"digits"} == set(data.NAMES) - {"digits"}
    assert "| `digits` |" in table


def test_the_table_of_own_images_says_what_recipes_take():
    rows = table_of((ROOT / "docs" / "data.md").read_text().partition("## Your own images")[2])
    needs = {name: words == "needs labels" for names, words in rows for name in re.findall(r"`([\w-]+)`", names)}
    taking = {name: recipe for name, recipe in RECIPES.items() if recipe.any_images and recipe.dataset is None}
    assert needs == {name: recipe.needs_labels for name, recipe in taking.items()}


def test_the_presets_are_as_many_as_the_readme_says():
    assert "It has two or three presets" in README and "Ten recipes have no `quick`" in README
    assert {len(recipe.presets) for recipe in RECIPES.values()} == {2, 3}
    assert sum("quick" not in recipe.presets for recipe in RECIPES.values()) == 10


@pytest.mark.parametrize("name", READMES)
def test_every_lecture_item_has_its_row_with_its_recipes_and_functions(name):
    rows = [row for row in table_of((ROOT / name).read_text()) if re.fullmatch(r"[A-D]\d", row[0])]
    assert [row[0] for row in rows] == list(LECTURE)
    if name == "README.md":
        assert {row[0]: row[1] for row in rows} == LECTURE
    functions = 0
    for item, _, names, recipes in rows:
        of_item = [key for key, recipe in RECIPES.items() if item in recipe.lecture_items]
        links = re.findall(r"\[([\w-]+)\]\((\S+?)\)", recipes)
        assert links == [(key, f"tfgen/recipes/{key.replace('-', '_')}.py") for key in of_item]
        for full_name, file in re.findall(r"\[`(tfgen\.[\w.]+)`\]\((\S+?)\)", names):
            functions += 1
            found = pkgutil.resolve_name(full_name)
            module = found if inspect.ismodule(found) else inspect.getmodule(found)
            assert pathlib.Path(module.__file__) == (ROOT / file).resolve()
    assert functions >= 20


# Results.


def test_results_of_every_recipe_are_kept_and_are_mnist_s():
    kept = {(result["recipe"], result["preset"]) for result in KEPT}
    assert kept >= {(name, "quick") for name, recipe in RECIPES.items() if "quick" in recipe.presets}
    assert {name for name, _ in kept} == set(RECIPES)
    datasets = [(RECIPES[result["recipe"]].dataset or "mnist", result) for result in KEPT]
    assert all(result["dataset"] == dataset and result["comparable"] for dataset, result in datasets)


def test_the_table_of_results_is_that_of_the_results_kept():
    """Each row's numbers are those of the files; its options those that the files record, whatever a preset is now."""
    start, end = tables.RESULTS_MARKS
    results = (ROOT / "docs" / "results.md").read_text()
    shown = results[results.index(start) + len(start) : results.index(end)].strip()
    expected = tables.results_table(KEPT)
    assert shown.split("\n\n")[1] == expected.split("\n\n")[1]
    rows, expected_rows = table_of(shown), table_of(expected)
    # Each metric of the table is one that its run computed.
    groups = {}
    for result in KEPT:
        groups.setdefault((result["recipe"], result["preset"]), []).append(result)
    assert len(rows) == len(expected_rows) == sum(len(RECIPES[name].headline) for name, _ in groups)
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert [row[0], *row[2:]] == [expected_row[0], *expected_row[2:]]
        parsed = cli._parser().parse_args(["run", *shlex.split(row[1].strip("`"))])
        runs = groups[parsed.recipes[0], parsed.preset]
        # What the row says of a hyper-parameter is what the runs record.
        changed = {"epochs": str(parsed.epochs)} if parsed.epochs else {}
        changed |= dict(text.split("=", 1) for text in parsed.settings)
        # A field that is younger than the files had its default.
        fields = dataclasses.fields(RECIPES[parsed.recipes[0]].presets[parsed.preset])
        defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
        for result in runs:
            recorded = {name: tables.as_setting(value) for name, value in {**defaults, **result["config"]}.items()}
            assert changed.items() <= recorded.items()
            assert result.get("deterministic", False) == parsed.deterministic
        # And it names all that differs from the preset, unless the preset has changed since.
        if not documents.changed_presets(runs):
            assert row == expected_row and not changed


def test_a_preset_that_moves_on_breaks_no_table(monkeypatch):
    """As the test above must hold when it does: every preset is another one."""
    for name, recipe in RECIPES.items():
        presets = {key: config.replace(epochs=config.epochs + 10) for key, config in recipe.presets.items()}
        monkeypatch.setitem(RECIPES, name, type(recipe)(**{**vars(recipe), "presets": presets}))
    assert len(documents.changed_presets(KEPT)) == len(KEPT)
    test_the_table_of_results_is_that_of_the_results_kept()


@pytest.mark.parametrize("name", READMES)
def test_the_short_table_is_that_of_the_results_kept(name):
    start, end = tables.HIGHLIGHTS_MARKS
    text = (ROOT / name).read_text()
    shown = text[text.index(start) + len(start) : text.index(end)].strip()
    assert shown == tables.highlights_table(KEPT, documents.HIGHLIGHTS)
    # The one number beside it.
    (ours, published) = map(float, re.search(r"([\d.]+) %.*?([\d.]+) %", section(text, 3).partition(end)[2]).groups())
    metric, paper = "knn1_error__2d", RECIPES["clustering-autoencoder"].published["knn1_error__2d"]
    kept = [result["metrics"][metric]["value"] for result in KEPT if result["recipe"] == "clustering-autoencoder"]
    assert (ours, published) == (round(100 * statistics.mean(kept), 1), 100 * paper.value)


def test_the_table_of_speed_is_that_of_the_measurement_kept():
    measured = json.loads((ROOT / "docs" / "benchmark" / "benchmark.json").read_text())
    rows = {row[0]: row[1:] for row in table_of((ROOT / "docs" / "speed.md").read_text())}
    variants = [(family, name) for family, result in measured["training"].items() for name in result["ratios"]]
    assert list(rows) == [f"`{family}`" + ", bfloat16" * name.endswith("bfloat16") for family, name in variants]
    for (family, name), cells in zip(variants, rows.values(), strict=True):
        result = measured["training"][family]
        rate = statistics.median(result["variants"][name]["images_per_second"])
        peers = ("jax", "keras", "tensorflow1", "torch-fused", "torch-compile", "torch-dataloader")
        ratios = result["ratios"][name]
        times = [f"{ratios[peer]['median']:.2f}" if peer in ratios else "not measured" for peer in peers]
        # The limit is the fastest way to the products, in the same precision.
        ways = [
            way
            for way in result["variants"]
            if way.startswith("products") and way.endswith("bfloat16") == name.endswith("bfloat16")
        ]
        share = ratios[max(ways, key=lambda way: statistics.median(result["variants"][way]["images_per_second"]))]
        assert cells[:-1] == [f"{rate:,.0f}", *times]
        # A star marks what others disturbed: tfgen's own training or the fastest products.
        fastest = max(ways, key=lambda way: statistics.median(result["variants"][way]["images_per_second"]))
        others = [statistics.median(result["variants"][one]["load_of_others"]) for one in (name, fastest)]
        assert cells[-1] == f"{100 * share['median']:.0f} %" + " *" * (max(others) > 0.05)
    # Of real images, and of everything that can be left out.
    assert measured["data"] == "mnist"
    for family in ("gan", "vae", "autoencoder", "gan-1200", "autoencoder-1200"):
        assert {"keras", "tensorflow1", "torch-fused"} <= set(measured["training"][family]["variants"])
    assert {"scaling", "inference", "evaluation"} <= set(measured)


def test_no_training_of_the_measurement_of_speed_kept_was_disturbed_by_another_program():
    measured = json.loads((ROOT / "docs" / "benchmark" / "benchmark.json").read_text())
    for family, result in measured["training"].items():
        # Products that were disturbed are marked in the table's last column, which the test above holds.
        for name, variant in result["variants"].items():
            assert name.startswith("products") or statistics.median(variant["load_of_others"]) <= 0.05, (family, name)
        # All that can be left out was measured, and nothing is faster than the fastest way to its products.
        ways = ("products-tensorflow", "products-xla", "products-numpy", "products-torch")
        assert {"jax", "torch-compile", *ways} <= set(result["variants"])
        for name, ratios in result["ratios"].items():
            ways = [way for way in ratios if way.startswith("products") and way.endswith("16") == name.endswith("16")]
            rates = {way: statistics.median(result["variants"][way]["images_per_second"]) for way in ways}
            assert ratios[max(rates, key=rates.get)]["median"] <= 1, (family, name)


# What it points at.


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pictures_and_files_stand_where_a_document_points(name):
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
    links = re.findall(r"!?\[[^]]*\]\(([^)#]+)", text)
    pictures = re.findall(r"!\[[^]]+\]\((.*?)\)", text)
    for link in links:
        assert link.startswith("http") or (ROOT / name).parent.joinpath(link).exists(), link
    for picture in pictures:
        assert (ROOT / name).parent.joinpath(picture).read_bytes()[:4] in (b"\x89PNG", b"GIF8")
    if name in READMES:
        assert len(pictures) == 7


def test_the_readmes_have_the_same_commands_code_links_and_tables():
    english, chinese = ((ROOT / name).read_text() for name in READMES)
    for pattern in (r"^\$ (.+?)(?: {2,}#.*)?$", r"```python\n(.*?)```", r"\]\((\S+?)\)", r"^#{1,2} ", r"`tfgen[^`]*`"):
        found = [
            re.findall(pattern, text, re.MULTILINE | re.DOTALL * ("python" in pattern)) for text in (english, chinese)
        ]
        own = {"README.md", "README.zh-CN.md"}
        assert [item for item in found[0] if item not in own] == [item for item in found[1] if item not in own]
    assert "README.zh-CN.md" in english and "(README.md)" in chinese


def test_each_promise_of_reliability_names_its_test():
    promises = re.findall(
        r"^\| (.+) \| `([\w/]+\.py)::(\w+)` \|$", (ROOT / "docs" / "reliability.md").read_text(), re.M
    )
    assert len(promises) > 30
    for _, file, name in promises:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), (file, name)


def test_each_script_runs_its_recipe_and_says_what_it_is():
    for name, recipe in RECIPES.items():
        script = (ROOT / "scripts" / f"replicate_{name.replace('-', '_')}.py").read_text()
        assert f'["run", "{name}", *sys.argv[1:]]' in script
        # A docstring's first line that names the lecture's items of the recipe.
        assert all(item in script.partition("\n\n")[0] for item in recipe.lecture_items)
        (story,) = re.findall(r"tfgen/recipes/\w+\.py", script)
        assert story == f"tfgen/recipes/{name.replace('-', '_')}.py" and (ROOT / story).is_file()

"""`report.html`: the lecture, the results, the figures and the networks of a directory of runs in one page."""

import base64
import hashlib
import html.parser
import io
import json
import pkgutil
import re
import shlex
import shutil

import numpy as np
import PIL.Image
import pytest
from helpers import FREE_TEXTS, StubModule
from hypothesis import given, settings

from tfgen.cli import main
from tfgen.errors import InputError
from tfgen.files import npz
from tfgen.recipe import LECTURE
from tfgen.recipes import RECIPES
from tfgen.report import page as report
from tfgen.report import tables
from tfgen.report.page import write_page

METRIC = {"value": 13.866, "unit": "nats | image", "split": "test", "n": 10_000}
RESULT = {
    "recipe": "stub",
    "lecture_items": ["A1", "A3"],
    "dataset": "digits",
    "comparable": False,
    "preset": "smoke",
    "seed": 5,
    "seconds": 60.4,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "config": {},
    "metrics": {"test_negative_elbo": METRIC, "other": METRIC},
    "figures": ["figures/training.png", "figures/samples.png", "figures/film.gif"],
}
TEXTS = json.loads((report.SOURCES / "text.json").read_text("utf-8"))
LESSONS = json.loads((report.SOURCES / "lecture.json").read_text("utf-8"))


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: its tags with their attributes, its texts, and the contents of scripts."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.scripts, self.open = [], [], {}, []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.open.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.scripts[self.open[-1][1].get("id", self.open[-1][0])] = data
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def data(self):
        return json.loads(self.scripts["page-data"])

    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def images(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


def finished(directory, recipe, arrays=None, **changes):
    """Writes a finished run, with two figures, and what it keeps for the page if there are arrays; returns its path."""
    run = directory / recipe
    (run / "figures").mkdir(parents=True)
    (run / "results.json").write_text(json.dumps({**RESULT, "recipe": recipe, **changes}))
    for stem in ("training", "samples"):
        image = PIL.Image.new("RGB", (60, 40), "white")
        image.save(run / "figures" / f"{stem}.png")
    if arrays is not None:
        (run / "networks.npz").write_bytes(npz(arrays))
    return run


def vae_arrays(rng, pixels=784):
    """Networks of the form that the recipe `vae` keeps, with made-up weights, and images of each digit."""
    arrays = {"images": rng.integers(0, 256, (40, pixels), np.uint8), "labels": np.arange(40, dtype=np.uint8) % 10}
    shapes = {"z_mean": (pixels, 5, 2), "z_log_var": (pixels, 5, 2), "decoder": (2, 5, pixels)}
    for name, (first, middle, last) in shapes.items():
        for i, (activation, shape) in enumerate((("tanh", (first, middle)), ("linear", (middle, last)))):
            arrays[f"{name}/{i}/{activation}/kernel"] = (rng.standard_normal(shape) / 10).astype("float32")
            arrays[f"{name}/{i}/{activation}/bias"] = rng.standard_normal(shape[1]).astype("float32")
    return arrays


@pytest.fixture
def runs(stub, tmp_path):
    """A directory of two finished runs, one of them with its networks, an unfinished run and one moved aside."""
    finished(tmp_path, "stub")
    finished(tmp_path, "vae", vae_arrays(np.random.default_rng(0)))
    (tmp_path / "stub.1").mkdir()
    (tmp_path / "stub.1" / "results.json").write_text(json.dumps({**RESULT, "metrics": {"old": METRIC}}))
    (tmp_path / "gan" / "checkpoints").mkdir(parents=True)
    return tmp_path


# What a page has.


def test_a_page_has_every_item_of_the_lecture_in_its_order(runs):
    page = Page(write_page(runs))
    assert [id for id in page.ids() if id in LECTURE] == list(LECTURE)
    for id, title in LECTURE.items():
        assert title in page.texts and LESSONS[id]["zh_title"] in page.texts and LESSONS[id]["en"] in page.texts
    assert sum(tag == "math" for tag, _ in page.tags) == sum("formula" in lesson for lesson in LESSONS.values())


def test_the_results_stand_beside_the_published_numbers(runs):
    page = Page(write_page(runs))
    row = page.texts.index("other")
    assert page.texts[row : row + 5] == ["other", "not comparable", "不可比", "13.87", "nats | image; test, n = 10,000"]
    assert f"stub: {StubModule.RECIPE.title}" in page.texts and "old" not in page.texts
    assert "tfgen run vae --preset smoke --dataset digits --seed 5" in page.texts
    assert TEXTS["en"]["not_comparable"] in page.texts


def test_a_page_of_mnist_does_not_say_that_it_cannot_be_compared(tmp_path):
    finished(tmp_path, "vae", dataset="mnist", comparable=True)
    assert TEXTS["en"]["not_comparable"] not in Page(write_page(tmp_path)).texts


def test_every_figure_stands_in_the_page_once_and_films_do_not(runs):
    images = Page(write_page(runs)).images()
    assert len(images) == 4
    for attributes in images:
        assert (attributes["width"], attributes["height"]) == ("60", "40") and attributes["alt"]
        picture = PIL.Image.open(
            io.BytesIO(base64.b64decode(attributes["src"].removeprefix("data:image/webp;base64,")))
        )
        assert (picture.format, picture.size) == ("WEBP", (60, 40))


def test_a_page_asks_for_nothing_outside_itself(runs):
    """The one address that is a name: MathML's namespace."""
    path = write_page(runs)
    addresses = set(re.findall(r"https?://[^\"' )<]+", path.read_text("utf-8")))
    assert addresses <= {"http://www.w3.org/1998/Math/MathML"}
    page = Page(path)
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none';") and "connect-src" not in policy
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")


def test_the_networks_of_the_page_are_those_of_the_run(runs):
    arrays = vae_arrays(np.random.default_rng(0))
    networks = Page(write_page(runs)).data["networks"]
    assert set(networks) == {"vae/z_mean", "vae/z_log_var", "vae/decoder"}
    for name, network in networks.items():
        for i, layer in enumerate(network["layers"]):
            kernel = arrays[f"{name.removeprefix('vae/')}/{i}/{layer['activation']}/kernel"]
            shape = layer["outputs"], layer["inputs"]
            scale = np.frombuffer(base64.b64decode(layer["scale"]), "<f4")
            weights = np.frombuffer(base64.b64decode(layer["kernel"]), "i1").reshape(shape) * scale[:, None]
            # Half a step, and no more than float32's rounding beyond it.
            assert np.all(np.abs(weights.T - kernel) <= 0.5001 * scale)
            assert not np.all(np.abs(weights.T - kernel) <= 0.3 * scale)


def test_the_digits_to_choose_from_are_test_images_of_each_class(runs):
    digits = Page(write_page(runs)).data["digits"]
    assert digits["labels"] == sorted([*range(10)] * 4)
    images = np.frombuffer(base64.b64decode(digits["images"]), np.uint8).reshape(40, 784)
    kept = vae_arrays(np.random.default_rng(0))
    for image, label in zip(images, digits["labels"], strict=True):
        assert label in kept["labels"][np.all(kept["images"] == image, axis=1)]


def test_each_word_is_there_in_both_languages():
    assert set(TEXTS["en"]) == set(TEXTS["zh"]) and all(map(str.strip, [*TEXTS["en"].values(), *TEXTS["zh"].values()]))
    for key, english in TEXTS["en"].items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", TEXTS["zh"][key])), key


@pytest.mark.parametrize("id", LECTURE)
def test_a_lesson_names_what_there_is(id):
    """Its function, which can be imported, its recipe, and metrics and figures that the recipe makes."""
    lesson = LESSONS[id]
    assert id in RECIPES[lesson["recipe"]].lecture_items
    assert all(callable(pkgutil.resolve_name(function)) for function in lesson["functions"])
    kept = json.loads(
        next(report.SOURCES.parents[2].glob(f"docs/results/quick-0/{lesson['recipe']}/results.json")).read_text()
    )
    assert set(lesson["metrics"]) <= set(kept["metrics"])
    assert {f"figures/{figure}.png" for figure in lesson["figures"]} <= set(kept["figures"])


@pytest.mark.parametrize("names", [report.SCRIPTS, (*report.MATHEMATICS, "worker")], ids=["page", "worker"])
def test_no_two_scripts_declare_one_name(names):
    """Of two functions of a name the first would be silently replaced, also where other scripts call it."""
    sources = [(report.SOURCES / "js" / f"{name}.js").read_text("utf-8") for name in names]
    declared = re.findall(r"^(?:function|const|let|class) (\w+)", "\n".join(sources), re.MULTILINE)
    assert len(declared) > 50 and sorted(declared) == sorted(set(declared))


def keys_of(source):
    """Returns the keys of text.json that a script names: whole ones, and by `such_${ones}` those its words make."""
    named = re.findall(r"[\"`]((?:pad|draw|elbo|plane|gan|line)_[^ \"`]+)[\"`]", source)
    words = set(re.findall(r"\w[\w-]*", re.sub(r'"\w+_\w+"', "", source)))
    keys = {key for key in named if "$" not in key}
    for key in set(named) - keys:
        pattern = re.compile(re.sub(r"\\\$\\{.*?\\}", "(.+)", re.escape(key)))
        matches = {known: pattern.fullmatch(known) for known in TEXTS["en"]}
        made = {
            known for known, match in matches.items() if match and set("_".join(match.groups()).split("_")) <= words
        }
        assert made, key
        keys |= made
    return keys


def test_the_scripts_and_the_template_ask_for_words_that_are_there_and_for_all_of_them():
    used = {*report.LIVE, *(f"{id}_about" for id in report.LIVE), *(f"part_{part}" for part in report.PARTS)}
    for script in report.SCRIPTS:
        keys = keys_of((report.SOURCES / "js" / f"{script}.js").read_text("utf-8"))
        assert keys <= set(TEXTS["en"]), script
        used |= keys
    template = (report.SOURCES / "page.html.jinja").read_text("utf-8")
    used |= set(re.findall(r't\("(\w+)"\)', template)) | set(re.findall(r"text\.en\.(\w+)", template))
    used |= set(re.findall(r'data-aria-key="(\w+)"', template))
    assert used == set(TEXTS["en"])


# What is missing, damaged or foreign.


def test_an_empty_directory_makes_a_page_that_says_what_is_missing(tmp_path):
    page = Page(write_page(tmp_path))
    assert [id for id in page.ids() if id in LECTURE] == list(LECTURE)
    assert page.texts.count(TEXTS["en"]["missing_run"]) == len(LECTURE)
    assert page.texts.count(TEXTS["en"]["missing"]) == sum(bool(needed) for _, needed in report.LIVE.values())
    assert page.data["networks"] == {} and page.data["digits"] is None and page.data["gan"] is None
    assert not page.images()


def test_a_part_lives_with_the_networks_that_are_there_and_names_the_others(runs):
    text = write_page(runs).read_text("utf-8")
    sections = {id: re.search(rf'<section id="{id}".*?</section>', text, re.DOTALL)[0] for id in report.LIVE}
    alive = {id: "live-body" in section for id, section in sections.items()}
    assert alive == {"live-draw": True, "live-plane": False, "live-elbo": True, "live-gan": False, "live-line": True}
    assert "tfgen run stacked-autoencoder denoising-autoencoder feature-classifier" in sections["live-draw"]
    assert "tfgen run" not in sections["live-elbo"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "results.json").write_text("{"),
        lambda run: (run / "results.json").write_text(json.dumps({**RESULT, "recipe": "vae", "seed": "5"})),
        lambda run: (run / "networks.npz").write_bytes(b"PK\x03\x04"),
        lambda run: (run / "networks.npz").write_bytes(
            npz({"images": np.zeros((1, 784), np.uint8), "a/b": np.zeros(1)})
        ),
        lambda run: (run / "networks.npz").write_bytes(npz({"decoder/0/relu/bias": np.zeros(3, np.float32)})),
        lambda run: (run / "networks.npz").write_bytes(npz(vae_arrays(np.random.default_rng(0), pixels=120))),
        lambda run: (run / "results.json").write_text(json.dumps({**RESULT, "recipe": "gan"})),
        lambda run: (run / "networks.npz").write_bytes(npz({"images": np.zeros((1, 784), np.uint8)})),
    ],
    ids=[
        "not JSON",
        "wrong seed",
        "not an archive",
        "foreign array",
        "half a layer",
        "other images",
        "of another recipe",
        "no network",
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_shown(runs, damage):
    damage(runs / "vae")
    page = Page(write_page(runs))
    assert TEXTS["en"]["problems"] in page.texts
    assert any("vae" in text for text in page.texts[page.texts.index(TEXTS["en"]["problems"]) :][:3])
    assert page.data["networks"] == {}
    assert f"stub: {StubModule.RECIPE.title}" in page.texts


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n", b"<svg onload='alert(1)'/>"])
def test_a_figure_that_cannot_be_read_is_named(runs, content):
    path = runs / "stub" / "figures" / "training.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    page = Page(write_page(runs))
    assert len(page.images()) == 3 and any("stub/figures/training.png" in text for text in page.texts)


def test_what_no_paper_reports_is_said_in_both_languages(runs):
    finished(runs, "vae-2d", comparable=True)
    page = Page(write_page(runs))
    rows = [i for i, text in enumerate(page.texts) if text == "other"]
    assert ["not reported", "未报道"] in [page.texts[i + 1 : i + 3] for i in rows]


def test_networks_that_the_page_does_not_show_are_left_alone(runs):
    (runs / "stub" / "networks.npz").write_bytes(b"another's")
    page = Page(write_page(runs))
    assert TEXTS["en"]["problems"] not in page.texts and set(page.data["networks"]) >= {"vae/decoder"}


@pytest.mark.parametrize("config", [{}, {"noise": "pink"}, {"noise": ["uniform"]}])
def test_a_gan_of_no_known_noise_is_not_shown_alive(runs, config):
    rng = np.random.default_rng(0)
    shapes = {"generator": (3, 784), "discriminator": (784, 1)}
    arrays = {"images": rng.integers(0, 256, (40, 784), np.uint8)}
    for name, shape in shapes.items():
        arrays |= {f"{name}/1/0/linear/kernel": np.ones(shape, "float32"), f"{name}/1/0/linear/bias": np.ones(shape[1])}
    finished(runs, "gan", arrays, config={"noise": "gaussian"})
    assert Page(write_page(runs)).data["gan"]["noise"] == "gaussian"
    shutil.rmtree(runs / "gan")
    finished(runs, "gan", arrays, config=config)
    page = Page(write_page(runs))
    assert page.data["gan"] is None
    assert any("gan: its configuration has no noise that is known" in text for text in page.texts)


def test_results_without_figures_make_a_page(runs):
    path = runs / "vae" / "results.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "figures"}))
    assert len(Page(write_page(runs)).images()) == 2


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory of runs that are written again and again."""
    return tmp_path_factory.mktemp("runs")


@settings(max_examples=30, deadline=None)
@given(text=FREE_TEXTS)
def test_no_text_of_a_results_file_becomes_markup(directory, text):
    def page(text):
        shutil.rmtree(directory / "vae", ignore_errors=True)
        metrics = {"test_negative_elbo": {**METRIC, "unit": text, "split": text}, "other": METRIC}
        finished(directory, "vae", dataset=text, metrics=metrics, figures=[])
        return Page(write_page(directory))

    def words(page):
        """Its texts, the commands as the shell's words."""
        return [shlex.split(shown) if shown.startswith("tfgen run") else [shown] for shown in page.texts]

    written, plain = page(text), page("plain")
    assert written.tags == plain.tags and written.scripts == plain.scripts
    assert words(written) == [[word.replace("plain", text) for word in shown] for shown in words(plain)]


def test_a_description_in_a_figure_becomes_its_alternative_text_and_nothing_else(runs):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Description", '"><script>alert(1)</script>')
    PIL.Image.new("RGB", (60, 40)).save(runs / "stub" / "figures" / "training.png", pnginfo=info)
    page = Page(write_page(runs))
    assert '"><script>alert(1)</script>' in [attributes["alt"] for attributes in page.images()]
    assert sum(tag == "script" for tag, _ in page.tags) == 3


def test_data_of_a_run_end_no_script(runs):
    text = write_page(runs).read_text("utf-8")
    data = text.split('id="page-data">')[1].split("</script>")[0]
    assert "<" not in data and json.loads(data)["image_shape"] == [28, 28]


# The file and the command.


def test_a_directory_of_several_seeds_is_told_to_name_one(tmp_path, capsys):
    finished(tmp_path / "seed-3", "vae")
    assert main(["report", str(tmp_path)]) == 2
    assert f"name one of them, such as {tmp_path / 'seed-3'}" in capsys.readouterr().err


def test_what_others_are_writing_beside_the_page_stays(runs):
    other = runs / f".other.html.{'0' * 32}"
    other.write_text("half")
    write_page(runs)
    assert other.exists()


def test_the_one_script_is_the_one_that_the_policy_names(runs):
    page = Page(write_page(runs))
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    (name,) = re.findall(r"script-src 'sha256-([^']+)'", policy)
    assert base64.b64decode(name) == hashlib.sha256(page.scripts["script"].encode()).digest()


@pytest.mark.parametrize("id", [id for id, lesson in LESSONS.items() if "formula" in lesson])
def test_a_formula_becomes_mathml_that_browsers_can_draw(id):
    """Unknown commands would stand there as they are, and names of functions would touch their argument."""
    mathml = str(report._formula(LESSONS[id]["formula"]))
    assert "\\" not in mathml and "<mi>log</mi><mi>" not in mathml


def test_the_page_is_written_anew(runs):
    """What a killed process has left half-written goes."""
    (runs / "report.html").write_text("stale")
    (runs / f".report.html.{'0' * 32}").write_text("half")
    assert "stale" not in write_page(runs).read_text("utf-8")[:20]
    assert [path.name for path in runs.iterdir() if path.name.startswith(".")] == [".report.html.lock"]


def test_the_command_writes_the_page_where_it_is_told(runs, tmp_path, capsys):
    output = tmp_path / "elsewhere" / "page.html"
    assert main(["report", str(runs), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n" and output.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert not (runs / "report.html").exists()


@pytest.mark.parametrize(
    "line, told",
    [
        (["report", "{}/none"], "is no directory; name the one that tfgen run has written, such as runs"),
        (["report", "{}", "--output", "{}"], "is a directory; name a file such as report.html"),
        (["report", "{}", "--output", "{}/file/page.html"], "cannot be made"),
    ],
)
def test_a_mistake_is_told_in_a_line(tmp_path, capsys, line, told):
    (tmp_path / "file").write_text("")
    assert main([word.format(tmp_path) for word in line]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_directory_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no directory"):
        write_page(tmp_path / "none")


def test_the_table_and_the_page_show_every_metric_of_a_run(smoke, tmp_path):
    run = smoke("vae")
    shutil.copytree(run.directory, tmp_path / "vae")
    printed, page = tables.table([run.results]), Page(write_page(tmp_path))
    for metric in run.results["metrics"]:
        assert any("vae" in line and metric in line and "not comparable" in line for line in printed.splitlines())
        assert metric in page.texts
    assert len(page.images()) == sum(figure.endswith(".png") for figure in run.results["figures"])
    assert TEXTS["en"]["costs"] in page.texts

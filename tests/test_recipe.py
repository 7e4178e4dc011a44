"""Hyper-parameters: each type refuses what it does not allow, in one line, from Python as from `--set`."""

import dataclasses
import math
import re
import typing
import warnings
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfgen import recipe
from tfgen.data import Dataset, Split
from tfgen.errors import InputError
from tfgen.recipe import LECTURE, PRESETS, Config
from tfgen.recipes import MODULES, RECIPES
from tfgen.runner.request import Request, check

# The same examples every time.
reproducible = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@dataclasses.dataclass(frozen=True)
class Everything(Config):
    """A field of every type.

    Attributes:
        count, whole_number: two integers.
        positive: this one's
            text has two lines.
        number: any.
    """

    count: recipe.Count = 3
    whole_number: recipe.WholeNumber = 0
    samples: recipe.Samples = 1000
    positive: recipe.Positive = 1e-3
    non_negative: recipe.NonNegative = 0.0
    fraction: recipe.Fraction = 0.5
    rate_of_decay: recipe.Decay = 0.5
    number: float = -1.0
    integer: int = -1
    flag: bool = False
    activation: recipe.Activation = "tanh"
    noise: recipe.Noise = "uniform"
    units: tuple[recipe.Count, ...] = (300, 150)
    autoencoder_units: recipe.AutoencoderUnits = (300, 150, 300)
    rates: tuple[recipe.Positive, ...] = (1e-3,)
    activations: tuple[recipe.Activation, ...] = ("tanh",)
    stages: tuple[tuple[recipe.Count, recipe.Fraction, recipe.Positive], ...] = ((1, 1.0, 1e-3),)


CONFIG = Everything(epochs=1)
FIELDS = tuple(field.name for field in dataclasses.fields(Everything))
LARGEST, SMALLEST = 3.4e38, 1.2e-38
COUNT = "a whole number of at least 1, below 2**31"
POSITIVE = "a number greater than 0 that float32 can hold"
GROUP = f"a group ({COUNT}, a number from 0 to 1, {POSITIVE})"

# Field -> what it allows in words, values at its edges, values just beyond them or of another type.
TYPES = {
    "epochs": (COUNT, [1, 10**9], [0, -1, 1.0, True, "1", None, math.inf]),
    "count": (COUNT, [1, 2**31 - 1], [0, 1.5, False, 2**31, 10**400]),
    "whole_number": ("a whole number of at least 0, below 2**31", [0, 1, 2**31 - 1], [-1, 0.0, False, 2**31]),
    "samples": ("a whole number of at least 4, below 2**31", [4, 2**31 - 1], [3, 1, 4.0, 2**31]),
    "positive": (
        POSITIVE,
        [SMALLEST, 1, LARGEST],
        [0, 0.0, -1e-9, 1e-39, 5e-324, 1e39, math.inf, math.nan, True, "1", 10**400, 1 + 0j],
    ),
    "non_negative": ("a number of at least 0 that float32 can hold", [0, 0.0, 2.5], [-1e-9, math.inf, math.nan, False]),
    "fraction": ("a number from 0 to 1", [0, 1, 0.5], [-0.01, 1.01, 2, math.nan, True]),
    "rate_of_decay": ("a number from 0 to below 1", [0, 0.999, 0.5], [-0.01, 1, 2, math.nan, True]),
    "number": (
        "a number that float32 can hold",
        [-LARGEST, 0, 2],
        [math.inf, -math.inf, math.nan, -(10**400), True, "0"],
    ),
    "integer": ("a whole number", [-(10**9), 0], [0.0, True, "0", None]),
    "flag": ("true or false", [True, False], [0, 1, "true", None]),
    "activation": (
        "one of elu, gelu, leaky_relu, linear, relu, selu, sigmoid, silu, softplus, tanh",
        ["relu", "linear"],
        ["step", "", None, ["relu"], 0],
    ),
    "noise": ("one of uniform, gaussian, unit-variance uniform", ["unit-variance uniform"], ["loud", "Uniform"]),
    "units": (f"a list, each {COUNT}", [(), (1,), (1, 2, 3)], [3, "300", {300}, None]),
    "autoencoder_units": (
        "an odd number of widths, that of the code in the middle",
        [(1,), (1, 2, 3)],
        [(), (1, 2), (1, 2, 3, 4)],
    ),
    "rates": (f"a list, each {POSITIVE}", [(), (1e-3, 2)], [1e-3]),
    "activations": (f"a list, each one of {', '.join(typing.get_args(recipe.Activation))}", [("relu",)], ["relu"]),
    "stages": (f"a list, each {GROUP}", [(), ((1, 0, 1), (2, 1, 2))], [1, "1"]),
}
# What is wrong with one part of a list is said of the part.
PARTS = {
    "units": (COUNT, [((3, 0), 0), ((True,), True), ((2.0,), 2.0), (("3",), "3"), (((3,),), (3,))]),
    "autoencoder_units": (COUNT, [((1, 0, 1), 0)]),
    "rates": (POSITIVE, [((1, math.nan), math.nan), ((0,), 0)]),
    "activations": (TYPES["activation"][0], [(("relu", "step"), "step")]),
    "stages": (GROUP, [((1, 1.0, 1e-3), 1), (((1, 1.0),), (1, 1.0)), (((1, 1, 1, 1),), (1, 1, 1, 1))]),
}


def refused(change, expected):
    with pytest.raises(InputError) as caught:
        change()
    assert str(caught.value) == expected


def outline(kind):
    """Returns how a type is put together; choices are all alike."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(... if inner is ... else outline(inner) for inner in arguments)
    return {Annotated: arguments[-1:], Literal: "choice"}.get(origin, kind)


def test_every_type_that_a_recipe_uses_is_tested_here():
    tested = {outline(kind) for kind in typing.get_type_hints(Everything, include_extras=True).values()}
    for name in RECIPES:
        for kind in typing.get_type_hints(MODULES[name].Config, include_extras=True).values():
            # Of a list, the type of its parts suffices.
            parts = outline(kind)[:1] if typing.get_origin(kind) is tuple else ()
            assert tested & {outline(kind), *parts}, (name, kind)
    assert set(TYPES) == set(FIELDS)


@pytest.mark.parametrize("field", TYPES)
def test_a_value_that_the_type_allows_is_kept_and_another_refused_in_words(field):
    described, allowed, wrong = TYPES[field]
    for value in allowed:
        assert getattr(CONFIG.replace(**{field: value}), field) == value
    for value in wrong:
        refused(lambda value=value: CONFIG.replace(**{field: value}), f"{field} must be {described}, got {value!r}")


@pytest.mark.parametrize("field", PARTS)
def test_the_wrong_part_of_a_list_is_named(field):
    described, wrong = PARTS[field]
    for value, part in wrong:
        refused(lambda value=value: CONFIG.replace(**{field: value}), f"{field} must be {described}, got {part!r}")


def test_what_is_no_list_at_all_and_a_wrong_number_inside_a_group_are_told():
    refused(lambda: CONFIG.replace(autoencoder_units=3), f"autoencoder_units must be a list, each {COUNT}, got 3")
    refused(lambda: CONFIG.replace(stages=((1, 1.5, 1e-3),)), "stages must be a number from 0 to 1, got 1.5")


def test_values_are_checked_where_a_configuration_is_made_too():
    refused(lambda: Everything(epochs=0), f"epochs must be {COUNT}, got 0")
    refused(lambda: Everything(epochs=1, units=(0,)), f"units must be {COUNT}, got 0")


def test_a_whole_number_is_a_float_where_the_type_is_one_and_a_list_a_tuple():
    """So that a configuration read back from JSON equals the one that was written, whatever it was given."""
    config = CONFIG.replace(positive=1, fraction=0, number=2, units=[4, 5], stages=[[1, 1, 2]])
    assert [type(value) for value in (config.positive, config.fraction, config.number)] == [float] * 3
    assert config.units == (4, 5) and config.stages == ((1, 1.0, 2.0),)
    assert [type(value) for value in config.stages[0]] == [int, float, float]
    assert hash(config) == hash(
        CONFIG.replace(positive=1.0, fraction=0.0, number=2.0, units=(4, 5), stages=((1, 1, 2),))
    )


def test_replace_changes_the_named_fields_of_a_copy():
    changed = CONFIG.replace(count=7, noise="gaussian")
    assert (changed.count, changed.noise) == (7, "gaussian")
    assert dataclasses.replace(changed, count=3, noise="uniform") == CONFIG == Everything(epochs=1)
    assert CONFIG.replace() == CONFIG
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONFIG.count = 7


def test_defaults_are_those_of_the_fields_whatever_the_values_and_as_json_gives_them_back():
    @dataclasses.dataclass(frozen=True)
    class Stub(Config):
        decay: recipe.Fraction = 0.5
        widths: tuple[recipe.Count, ...] = (3, 4)

    assert Stub(9, decay=0.7).defaults() == {"decay": 0.5, "widths": [3, 4]}


def test_an_unknown_field_is_refused_with_those_that_there_are():
    expected = f"there is no hyper-parameter 'width'; choose from {', '.join(FIELDS)}"
    refused(lambda: CONFIG.replace(width=3), expected)
    refused(lambda: CONFIG.with_settings(["width=3"]), expected)
    refused(lambda: CONFIG.with_settings(["=3"]), expected.replace("width", ""))
    # Names are those of the fields, not of methods.
    refused(lambda: CONFIG.with_settings(["replace=3"]), expected.replace("width", "replace"))


# Texts.


@pytest.mark.parametrize(
    "text, value",
    [
        ("count=64", 64),
        ("count= 64 ", 64),
        ("count=1_000", 1000),
        ("whole_number=0", 0),
        ("integer=-5", -5),
        ("positive=1e-3", 0.001),
        ("positive=3", 3.0),
        ("fraction=.25", 0.25),
        ("number=-1", -1.0),
        ("flag=true", True),
        ("flag=False", False),
        ("flag=TRUE", True),
        ("activation=relu", "relu"),
        ("noise=unit-variance uniform", "unit-variance uniform"),
        ("units=300", (300,)),
        ("units=300,150,300", (300, 150, 300)),
        ("units= 300 , 150 ", (300, 150)),
        ("units=(300,150)", (300, 150)),
        ("units=[300, 150]", (300, 150)),
        ("units=(300,)", (300,)),
        ("units=", ()),
        ("units= ", ()),
        ("units=()", ()),
        ("units=300,", (300,)),
        ("units=300,150,", (300, 150)),
        ("units=(300,150),", (300, 150)),
        ("units=[300]", (300,)),
        ("units= ( 300 , 150 , ) ", (300, 150)),
        ("autoencoder_units=5", (5,)),
        ("rates=1e-3,2", (0.001, 2.0)),
        ("activations=relu", ("relu",)),
        ("activations=relu, tanh", ("relu", "tanh")),
        ("activations=relu,", ("relu",)),
        ("activations=(relu,tanh)", ("relu", "tanh")),
        ("activations=[ relu, tanh, ]", ("relu", "tanh")),
        ("activations=", ()),
        ("activations=()", ()),
        ("stages=(1,1,1e-3)", ((1, 1.0, 0.001),)),
        ("stages=(1,0.25,1e-3),(5,0.75,2e-3)", ((1, 0.25, 0.001), (5, 0.75, 0.002))),
        ("stages=[1, 0.25, 1e-3], [5, 0.75, 2e-3]", ((1, 0.25, 0.001), (5, 0.75, 0.002))),
        ("stages=((1,0.25,1e-3),(5,0.75,2e-3))", ((1, 0.25, 0.001), (5, 0.75, 0.002))),
        ("stages=[[1,0.25,1e-3],[5,0.75,2e-3],],", ((1, 0.25, 0.001), (5, 0.75, 0.002))),
        ("stages=((1,1,1e-3),)", ((1, 1.0, 0.001),)),
        ("stages=(1,1,1e-3),", ((1, 1.0, 0.001),)),
        ("stages=()", ()),
    ],
)
def test_a_text_is_read_as_the_value_of_its_field(text, value):
    changed = CONFIG.with_settings([text])
    field = text.partition("=")[0]
    assert getattr(changed, field) == value
    assert changed == CONFIG.replace(**{field: value})


@pytest.mark.parametrize(
    "text, described, got",
    [
        ("count=2.5", COUNT, 2.5),
        ("count=many", COUNT, "many"),
        ("count=", COUNT, ""),
        ("count=True", COUNT, True),
        ("count='64'", COUNT, "64"),
        ("count=64,32", COUNT, (64, 32)),
        # Texts that are nearly Python: no warning of Python's beside the line, and no other error.
        ("count=1or 2", COUNT, "1or 2"),
        (r"count='\d'", COUNT, r"\d"),
        ("count={[]: 1}", COUNT, "{[]: 1}"),
        ("count=\0", COUNT, "\0"),
        ("count=" + 3000 * "(", COUNT, 3000 * "("),
        ("count=__import__('os')", COUNT, "__import__('os')"),
        ("positive=fast", POSITIVE, "fast"),
        ("positive=inf", POSITIVE, "inf"),
        ("positive=nan", POSITIVE, "nan"),
        ("positive=1e999", POSITIVE, math.inf),
        ("positive=" + 400 * "9", POSITIVE, 10**400 - 1),
        ("flag=1", "true or false", "1"),
        ("flag=maybe", "true or false", "maybe"),
        ("activation='relu'", TYPES["activation"][0], "'relu'"),
        ("activation=", TYPES["activation"][0], ""),
        ("activations=,", TYPES["activation"][0], ""),
        ("activations=relu,,", TYPES["activation"][0], ""),
        ("activations=(relu", TYPES["activation"][0], "(relu"),
        ("activations='relu',", TYPES["activation"][0], "'relu'"),
        ("units=,", f"a list, each {COUNT}", ","),
        ("units=(300,150),(20,)", COUNT, (300, 150)),
        ("units=wide", f"a list, each {COUNT}", "wide"),
        ("units=300,,", f"a list, each {COUNT}", "300,,"),
        ("units=(300,150", f"a list, each {COUNT}", "(300,150"),
        ("units=3)#", f"a list, each {COUNT}", "3)#"),
        ("units={3})#", f"a list, each {COUNT}", "{3})#"),
        ("units=300,True", COUNT, True),
        ("units=300,1.5", COUNT, 1.5),
        ("autoencoder_units=300,150", TYPES["autoencoder_units"][0], (300, 150)),
        ("autoencoder_units=", TYPES["autoencoder_units"][0], ()),
        ("stages=1,1,1e-3", GROUP, 1),
        ("stages=(1,1)", GROUP, (1, 1)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_text_that_is_no_value_is_refused_in_one_line(text, described, got):
    field = text.partition("=")[0]
    refused(lambda: CONFIG.with_settings([text]), f"{field} must be {described}, got {got!r}")


@pytest.mark.parametrize("text", ["count=0x" + 5000 * "f", "units=1,0x" + 5000 * "f", "positive=-0x" + 5000 * "f"])
def test_a_number_that_python_does_not_print_is_refused_too(text):
    """Python turns no whole number of more than 4,300 digits into text."""
    field, described = text.partition("=")[0], COUNT if text[0] != "p" else POSITIVE
    refused(lambda: CONFIG.with_settings([text]), f"{field} must be {described}, got a number of thousands of digits")


@pytest.mark.parametrize("text", ["count", "", "count:3", "--count"])
def test_a_text_without_an_equals_sign_is_refused(text):
    refused(lambda: CONFIG.with_settings([text]), f"--set takes FIELD=VALUE, such as epochs=3; got {text!r}")


def test_a_field_that_is_named_twice_is_refused():
    refused(lambda: CONFIG.with_settings(["count=3", "flag=true", "count=3"]), "--set names count twice; give it once")


def test_several_settings_change_a_field_each_and_leave_the_others():
    changed = CONFIG.with_settings(iter(["count=5", "units=1,2", "flag=true"]))
    assert changed == CONFIG.replace(count=5, units=(1, 2), flag=True)
    assert CONFIG.with_settings([]) == CONFIG


FINITE = st.floats(-LARGEST, LARGEST)
POSITIVE_NUMBERS = st.floats(SMALLEST, LARGEST)
VALUES = {
    "epochs": st.integers(1, 2**31 - 1),
    "positive": POSITIVE_NUMBERS,
    "fraction": st.floats(0, 1),
    "rate_of_decay": st.floats(0, 1, exclude_max=True),
    "number": FINITE,
    "integer": st.integers(-(10**12), 10**12),
    "flag": st.booleans(),
    "activation": st.sampled_from(typing.get_args(recipe.Activation)),
    "units": st.lists(st.integers(1, 10**4), max_size=5).map(tuple),
    "rates": st.lists(POSITIVE_NUMBERS, max_size=5).map(tuple),
    "stages": st.lists(st.tuples(st.integers(1, 99), st.floats(0, 1), POSITIVE_NUMBERS), max_size=3).map(tuple),
}


@reproducible
@given(st.fixed_dictionaries(VALUES))
def test_what_python_prints_of_any_values_is_read_back_as_the_same_values(values):
    texts = []
    for field, value in values.items():
        # A list without brackets of its own: those of a single group would otherwise be taken for the list's.
        text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
        texts.append(f"{field}={text}")
    assert CONFIG.with_settings(texts) == CONFIG.replace(**values)


@reproducible
@given(st.sampled_from(FIELDS), st.text() | st.text("()[]{},.:#'0123456789eE-+ truefalse"))
@example("stages", "((1,1.0,1e-3),)")
@example("units", "1),(2")
@example("units", "'a')#")
def test_any_text_is_a_value_or_refused_in_one_line_that_names_the_field(field, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            changed = CONFIG.with_settings([f"{field}={text}"])
        except InputError as error:
            assert re.fullmatch(rf"{field} must be .+, got .+", str(error))
        else:
            assert dataclasses.replace(changed) == changed
            assert {**vars(changed), field: None} == {**vars(CONFIG), field: None}


# Meanings.


def test_meanings_are_those_of_the_class_and_its_bases():
    assert CONFIG.meanings() == {
        "epochs": Config(epochs=1).meanings()["epochs"],
        "count": "two integers.",
        "whole_number": "two integers.",
        "positive": "this one's text has two lines.",
        "number": "any.",
    }

    @dataclasses.dataclass(frozen=True)
    class Changed(Everything):
        """A class that says more of a field of its base.

        Attributes:
            number: another text.
        """

    assert Changed(epochs=1).meanings() == {**CONFIG.meanings(), "number": "another text."}
    assert Config(epochs=1).meanings()["epochs"].startswith("passes through the training images; ")


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_of_every_recipe_has_a_meaning(name):
    for config in RECIPES[name].presets.values():
        meanings = config.meanings()
        assert list(meanings) == [field.name for field in dataclasses.fields(config)]
        assert all(meaning.endswith(".") for meaning in meanings.values())


# Recipes.


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_made_of_known_parts(name):
    described = RECIPES[name]
    assert described.title and set(described.lecture_items) <= set(LECTURE) and described.lecture_items
    # In the presets' order, with one for the tests and one of the published protocol or of minutes.
    assert list(described.presets) == [preset for preset in PRESETS if preset in described.presets]
    assert "smoke" in described.presets and len(described.presets) > 1
    assert {type(config) for config in described.presets.values()} == {MODULES[name].Config}
    # What a recipe needs has run before it where all are run.
    assert set(described.needs) <= set(list(RECIPES)[: list(RECIPES).index(name)])
    assert described.headline and len(set(described.headline)) == len(described.headline)
    for published in described.published.values():
        assert math.isfinite(published.value) and published.source


def test_the_recipes_cover_the_lecture():
    covered = {item for described in RECIPES.values() for item in described.lecture_items}
    # What the lecture only says, and nothing is trained for.
    assert set(LECTURE) - covered == set()


@pytest.mark.parametrize("name", ["vae-burda", "iwae-burda"])
def test_stages_share_all_epochs_and_each_has_one_at_least(name):
    config = (
        RECIPES[name].presets["paper"].with_settings(["epochs=10", "stages=(1,0.25,1e-3),(5,0.5,1e-3),(50,0.25,1)"])
    )
    assert config.stage_epochs() == [2, 6, 2]
    for epochs in (3, 10, 11, 999):
        shares = config.replace(epochs=epochs, stages=((1, 1 / 3, 1), (5, 1 / 3, 1), (50, 1 / 3, 1))).stage_epochs()
        assert sum(shares) == epochs and max(shares) - min(shares) <= 1
    one = [(1, 1.0, 1e-3)]
    two = [(1, 0.5, 1e-3), (5, 0.5, 1e-3)]
    for changes, expected in (
        ({"stages": []}, "stages must be at least one, each with a k of its own; got k []"),
        ({"stages": 2 * one}, "stages must be at least one, each with a k of its own; got k [1, 1]"),
        ({"stages": two[:1]}, "the fractions of the stages must add up to 1, got 0.5"),
        ({"stages": [*one, *two[1:]]}, "the fractions of the stages must add up to 1, got 1.5"),
        ({"stages": two, "epochs": 1}, "1 epochs leave none for one of 2 stages; raise --epochs"),
    ):
        refused(lambda changes=changes: config.replace(**changes), expected)


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("shallow-autoencoder", "activations=relu,relu", "activations must have at least one entry, and none twice"),
        ("shallow-autoencoder", "activations=relu", "learning_rates needs one rate for each of activations"),
        ("clustering-autoencoder", "code_dims=2,2", "code_dims must have at least one entry, and none twice"),
        ("clustering-autoencoder", "neighbors=", "neighbors must have at least one entry"),
        ("gan-variants", "noises=uniform,uniform", "noises must have at least one entry, and none twice"),
        ("gan-variants", "generator_losses=", "generator_losses must have at least one entry"),
        ("anomaly-detection", "left_out=4,4", "left_out must have at least one entry, and none twice"),
        ("feature-classifier", "label_counts=100,100", "label_counts must have at least one entry, and none twice"),
        ("semi-supervised-vae", "label_counts=100,100", "label_counts must have at least one entry, and none twice"),
    ],
)
def test_a_list_of_trainings_has_each_of_them_once(name, setting, words):
    with pytest.raises(InputError, match=words):
        RECIPES[name].presets["smoke"].with_settings([setting])


# What is refused without a look at the data.


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("vae", "latent_dim=2147483648", "latent_dim must be a whole number of at least 1, below 2"),
        ("vae", "batch_size=99999999999999999999", "batch_size must be a whole number of at least 1, below 2"),
        ("autoencoder-30d", "shift=4294967296", "shift must be a whole number of at least 0, below 2"),
        ("gan", "num_samples=1", "num_samples must be a whole number of at least 4, below 2.*, got 1"),
        ("gan-goodfellow", "num_samples=3", "num_samples must be a whole number of at least 4, below 2.*, got 3"),
        ("gan-goodfellow", "momentum=5", "momentum must be a number from 0 to below 1, got 5"),
        ("gan-goodfellow", "momentum=0", "momentum must be greater than 0"),
        ("gan-goodfellow", "final_momentum=1.5", "final_momentum must be a number from 0 to below 1, got 1.5"),
        ("clustering-autoencoder", "code_dims=3,10", r"code_dims must begin with 2, .*plane; got \(3, 10\)"),
        (
            "vae",
            "learning_rate=1e39",
            "learning_rate must be a number greater than 0 that float32 can hold, got 1e[+]39",
        ),
        ("vae-gaussian", "min_variance=1e-300", "min_variance must be .* float32 can hold, got 1e-300"),
        ("gan-1d", "data_mean=-1e39", "data_mean must be a number that float32 can hold, got -1e[+]39"),
        ("gan-1d", "data_std=1e-9", "data_std 1e-09, half_width 5 and 200 bins make bins too narrow .* data_mean 1"),
        ("gan-1d", "bins=2147483647", "data_std 0.5, half_width 5 and 2147483647 bins make bins too narrow"),
        ("gan-1d", "bins=1", "bins must be at least 2, .*; got 1"),
        ("gan-1d", "half_width=1e-9", "data_std 0.5, half_width 1e-09 and 200 bins make bins too narrow"),
        ("semi-supervised-vae", "used_latents=11", "used_latents must be at most 10, m1_latent_dim; got 11"),
        ("vae-burda", "nll_samples=75", "nll_samples must be at most 50 or a multiple of 50, got 75"),
        ("vae-burda", "subset_nll_samples=50,75", "subset_nll_samples must be at most 50 or a multiple of 50, got 75"),
    ],
)
def test_a_value_that_no_data_allow_is_refused_with_the_request(name, setting, words):
    with pytest.raises(InputError, match=f"^{words}"):
        RECIPES[name].presets["smoke"].with_settings([setting])


@pytest.mark.parametrize("samples", [1, 49, 50, 100, 5000])
def test_importance_samples_come_in_the_chunks_that_are_evaluated(samples):
    assert RECIPES["vae-burda"].presets["smoke"].replace(nll_samples=samples).nll_samples == samples


# What depends on the data.


def made_up(train=2000, validation=200, test=300, shape=(28, 28), classes=10):
    """Returns a dataset of black images; each split is given by its number of images, or by its labels."""
    splits = (
        np.arange(given, dtype=np.int64) % classes if isinstance(given, int) else np.array(given)
        for given in (train, validation, test)
    )
    splits = [Split(np.zeros((len(labels), shape[0] * shape[1]), np.uint8), labels) for labels in splits]
    return Dataset("made-up", *splits, comparable=False, image_shape=shape, classes=classes)


OF_TRAIN = "the number of training images of made-up"
ONE_CLASS = 200 * [7]
NO_FOUR = [label for label in range(10) if label != 4] * 200
# Recipe, settings, dataset: what is said of them.
UNSUITED = [
    ("gan-1d", ["batch_size=99"], {}, "discriminator_steps must be at least 500 draws.*made-up; got 99 times 5"),
    ("gan", ["batch_size=700", "discriminator_steps=3"], {}, f"discriminator_steps must be at most 2000, {OF_TRAIN}"),
    ("gan-variants", ["batch_size=2001"], {}, f"discriminator_steps must be at most 2000, {OF_TRAIN}; got 2001"),
    ("gan", [], {"test": 3}, "made-up has 3 test images; precision and recall of samples needs at least 4"),
    ("gan-goodfellow", [], {"validation": 1}, "made-up has 1 validation images; .*Frechet distance needs at least 2"),
    ("clustering-autoencoder", ["neighbors=1,2001"], {}, f"neighbors must be at most 2000, {OF_TRAIN}; got 2001"),
    ("clustering-autoencoder", [], {"test": 9}, "made-up has 9 test images; k-means with 10 clusters needs"),
    ("clustering-autoencoder", [], {"shape": (1, 1)}, "images of made-up have one pixel"),
    ("stacked-autoencoder", ["hidden_units=900,785,900"], {}, "width in hidden_units must be at most 784, .*got 785"),
    ("stacked-autoencoder", [], {"train": 128, "validation": 7}, "must be at most 135, .*; got 150"),
    ("autoencoder-30d", ["shift=29"], {}, "shift must be at most 28, the shorter side of an image of made-up; got 29"),
    ("digit-classifier", ["shift=4"], {"shape": (9, 3)}, "shift must be at most 3, .*; got 4"),
    ("digit-classifier", ["filters=1,1,1,1,1"], {}, "filters must have at most 4 entries, .*28x28; got"),
    ("digit-classifier", ["shift=1"], {"shape": (9, 3)}, "filters must have at most 1 entries, .*9x3; got"),
    ("anomaly-detection", ["left_out=10,11", "pictured=11"], {}, "left_out must have one of .*0 to 9; got"),
    ("anomaly-detection", ["batch_size=1801"], {}, f"batch_size must be at most 1800, {OF_TRAIN} without class 4"),
    ("anomaly-detection", [], {"test": NO_FOUR}, "left_out has class 4, of which made-up has 0 among 1800 test images"),
    ("anomaly-detection", [], {"test": 9 * [4]}, "left_out has class 4, of which made-up has 9 among 9 test images"),
    ("anomaly-detection", [], {"validation": ONE_CLASS}, "the validation images of made-up are of one class"),
    ("feature-classifier", ["label_counts=100,605"], {}, "label_counts must be multiples of 10, .*; got 605"),
    ("feature-classifier", ["label_counts=100,5"], {}, "label_counts must be multiples of 10, .*; got 5"),
    ("feature-classifier", ["labelled_batch_size=101"], {}, "labelled_batch_size must be at most 100, .*; got 101"),
    ("feature-classifier", [], {"train": NO_FOUR}, "made-up has no training image of class 4"),
    ("semi-supervised-vae", ["label_counts=605"], {}, "label_counts must be multiples of 10, .*; got 605"),
    ("semi-supervised-vae", ["label_counts=100,2010"], {}, "label_counts must be at most 2000, 10 times .*; got 2010"),
    ("semi-supervised-vae", ["labelled_batch_size=101"], {}, "labelled_batch_size must be at most 100, .*; got 101"),
    ("semi-supervised-vae", ["m1_batch_size=2001"], {}, f"m1_batch_size must be at most 2000, {OF_TRAIN}; got 2001"),
    ("semi-supervised-vae", [], {"train": NO_FOUR}, "label_counts must be at most 0, 10 times .*; got 100"),
    ("discriminative-vs-generative", ["neighbors=1001"], {}, "neighbors must be at most 1000, .*; got 1001"),
    ("discriminative-vs-generative", ["mixture_pca=785"], {}, "mixture_pca must be at most 784, .*; got 785"),
    ("discriminative-vs-generative", ["mixture_pca=151"], {}, "mixture_pca must be at most 150, .*code.*; got 151"),
    ("discriminative-vs-generative", ["mixture_components=101"], {}, "class 0 of made-up 100 .*at least 101 of each"),
    ("discriminative-vs-generative", ["num_train=100"], {"train": NO_FOUR}, "leaves class 4 of made-up 0 training"),
    ("vae", [], {"test": 1}, "made-up has 1 test images; .* needs at least 2"),
    ("vae-burda", [], {"test": 1}, "made-up has 1 test images; .* needs at least 2"),
    *(
        (name, ["batch_size=2001"], {}, f"batch_size must be at most 2000, {OF_TRAIN}; got 2001")
        for name in RECIPES
        if not name.startswith("gan") and name != "anomaly-detection"
    ),
    ("gan-goodfellow", ["batch_size=2001"], {}, f"batch_size must be at most 2000, {OF_TRAIN}; got 2001"),
    ("anomaly-detection", ["batch_size=2001"], {}, f"batch_size must be at most 2000, {OF_TRAIN}; got 2001"),
]


@pytest.mark.parametrize("name, settings, changes, words", UNSUITED)
def test_what_the_data_refuse_is_refused_before_anything_is_trained(name, settings, changes, words, tmp_path):
    request = Request(name, "smoke", settings=tuple(settings), output_dir=tmp_path / "runs")
    with pytest.raises(InputError, match=f"^{name}: .*{words}") as caught:
        check(request, made_up(**changes))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", RECIPES)
def test_every_preset_suits_a_set_of_the_size_of_mnist(name, tmp_path):
    data = made_up(50_000, 10_000, 10_000)
    for preset in RECIPES[name].presets:
        check(Request(name, preset, output_dir=tmp_path), data)


@pytest.mark.parametrize("name", RECIPES)
def test_every_smoke_preset_suits_the_embedded_digits(name, tmp_path, digits):
    check(Request(name, "smoke", output_dir=tmp_path), digits)


@pytest.mark.parametrize(
    "name, settings, changes",
    [
        ("gan-1d", ["batch_size=100"], {}),
        ("gan", ["batch_size=1000", "discriminator_steps=2"], {}),
        ("gan", [], {"test": 4, "validation": 2}),
        ("clustering-autoencoder", ["neighbors=2000"], {"test": 10}),
        ("stacked-autoencoder", ["hidden_units=900,784,900"], {}),
        ("digit-classifier", ["filters=1,1,1,1", "shift=28"], {}),
        ("anomaly-detection", ["batch_size=1800", "left_out=4,10"], {}),
        ("feature-classifier", ["label_counts=100,600", "labelled_batch_size=100"], {}),
        # Too many labels are left out of the run, as before.
        ("feature-classifier", ["label_counts=100,60000", "labelled_batch_size=100"], {}),
        ("discriminative-vs-generative", ["neighbors=1000", "mixture_pca=150", "mixture_components=100"], {}),
        ("vae", ["batch_size=2000"], {"test": 16, "validation": 1}),
    ],
)
def test_what_the_data_just_allow_is_not_refused(name, settings, changes, tmp_path):
    check(Request(name, "smoke", settings=tuple(settings), output_dir=tmp_path), made_up(**changes))


def test_a_needed_recipe_is_checked_against_the_data_too(tmp_path):
    with pytest.raises(InputError, match=r"^gan needs a run of digit-classifier.* batch_size must be at most 100, "):
        check(Request("gan", "smoke", settings=("batch_size=50",), output_dir=tmp_path), made_up(train=100))

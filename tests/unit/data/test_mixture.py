from collections import Counter

import pytest

from rojak.config.schema import MixtureComponent
from rojak.data.mixture import Mixture, compile_selection, selectable_fields
from rojak.errors import ConfigError, TrainingError
from rojak.records import Utterance


def utterance(number: int, language: str = "ms", **more: object) -> Utterance:
    return Utterance.model_validate(
        {"audio_id": f"u{number}", "audio_filepath": "x", "text": "t", "duration": 1.0, "language": language, **more}
    )


LAH = utterance(
    1,
    "mixed",
    quality_score=5,
    snr_db=12.0,
    domain="food",
    words=[{"word": "Lah", "language": "particle"}],
    town="Ipoh",
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true", True),
        ('language == "mixed"', True),
        ('language != "mixed"', False),
        ("quality_score >= 4 and snr_db < 15", True),
        ('"lah" in particles', True),
        ('"leh" in particles or not (snr_db > 10)', False),
        ('domain in ["food", "travel"]', True),
        ("10 < snr_db < 13", True),
        ("added_snr_db < 5", False),
        ("not (added_snr_db < 5)", True),
        ("added_snr_db == none", True),
        ('town == "Ipoh"', True),
        ("snr_db > -3", True),
    ],
)
def test_selections(expression: str, expected: bool) -> None:
    assert compile_selection(expression, ["town"])(selectable_fields(LAH)) is expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("langage == 1", "did you mean language"),
        ('__import__("os").system("true")', "may only use"),
        ("text.upper() == 'A'", "may only use"),
        ("(lambda: 1)()", "may only use"),
        ("snr_db <", "Cannot read"),
        ("[x for x in particles]", "may only use"),
        ("snr_db ** 99", "may only use"),
        ("snr_db is none", "may only use"),
    ],
)
def test_nothing_else_is_a_selection(expression: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_selection(expression)


def components(*pairs: tuple[str, float]) -> list[MixtureComponent]:
    return [MixtureComponent(select=select, weight=weight) for select, weight in pairs]


def test_shares_follow_the_weights_and_nothing_repeats_before_all_came() -> None:
    utterances = [utterance(i) for i in range(80)] + [utterance(i, "mixed") for i in range(80, 100)]
    mixture = Mixture(components(('language == "ms"', 0.7), ('language == "mixed"', 0.3)), utterances, "s")
    first, second = mixture.order(1, 0, 0), mixture.order(1, 0, 1)
    assert len(first) == len(mixture) == 100
    assert sum(i >= 80 for i in first) == 30
    counts = Counter(i for i in first + second if i >= 80)
    assert set(counts.values()) == {3}
    assert max(Counter(i for i in first if i < 80).values()) == 1
    assert first != second


def test_one_component_sees_each_utterance_once_an_epoch() -> None:
    mixture = Mixture(components(("true", 1.0)), [utterance(i) for i in range(17)], "s")
    for epoch in range(3):
        assert sorted(mixture.order(1, 0, epoch)) == list(range(17))


def test_order_depends_on_seed_stage_and_epoch_only() -> None:
    utterances = [utterance(i) for i in range(30)]
    orders = {
        tuple(Mixture(components(("true", 1.0)), utterances, "s").order(*key))
        for key in [(1, 0, 0), (1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1)]
    }
    assert len(orders) == 4


def test_an_empty_selection_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no training utterance meets"):
        Mixture(components(('language == "ta"', 1.0)), [utterance(1)], "tamil")


def test_particles_are_those_of_the_record() -> None:
    drawn_out = utterance(1, words=[{"word": "laaah", "language": "particle"}])
    assert compile_selection('"lah" in particles')(selectable_fields(drawn_out))
    written = utterance(1, words=[{"word": "la", "language": "particle"}], particles=["lah"])
    assert selectable_fields(written)["particles"] == ["lah"]


def test_shares_are_those_of_the_order() -> None:
    utterances = [utterance(i) for i in range(30)] + [utterance(i, "mixed") for i in range(30, 40)]
    mixture = Mixture(components(('language == "ms"', 0.25), ('language == "mixed"', 0.75)), utterances, "s")
    malay, mixed = mixture.shares()
    assert (
        (malay["samples"], mixed["samples"])
        == (10, 30)
        == (
            sum(i < 30 for i in mixture.order(1, 0, 0)),
            sum(i >= 30 for i in mixture.order(1, 0, 0)),
        )
    )
    assert (mixed["share"], mixed["passes"], mixed["utterances"]) == (0.75, 3.0, 10)


def test_balance_gives_every_value_the_same_part() -> None:
    utterances = [utterance(i, "ms") for i in range(90)] + [utterance(i, "ta") for i in range(90, 100)]
    balanced = MixtureComponent(select="true", balance="language")
    mixture = Mixture((balanced,), utterances, "s")
    order = mixture.order(1, 0, 0)
    assert sum(i >= 90 for i in order) == 50
    assert [one["select"] for one in mixture.shares()] == ["true · language ms", "true · language ta"]
    with pytest.raises(ConfigError, match="no record has the field 'tongue'"):
        Mixture((MixtureComponent(balance="tongue"),), utterances, "s")


def test_made_utterances_are_only_in_the_component_that_made_them() -> None:
    utterances = [utterance(i) for i in range(10)] + [utterance(i, spliced_from=["a"]) for i in range(10, 14)]
    parts = (MixtureComponent(), MixtureComponent(spliced=4))
    mixture = Mixture(parts, utterances, "s", {1: range(10, 14)})
    order = mixture.order(1, 0, 0)
    assert sum(i >= 10 for i in order) == len(order) / 2 == 7
    assert [one["utterances"] for one in mixture.shares()] == [10, 4]
    assert mixture.shares()[1]["select"] == "true · spliced"
    assert max(Mixture(parts[:1], utterances, "s").selected) == 9


def test_rare_particles_are_met_more_often_up_to_a_share() -> None:
    plain = [utterance(i) for i in range(88)]
    common = [utterance(100 + i, particles=["lah"]) for i in range(10)]
    rare = [utterance(200, particles=["kot", "lah"]), utterance(201, particles=["meh"])]
    data = [*plain, *common, *rare]
    mixture = Mixture([MixtureComponent(particle_share=0.05)], data, "s")
    assert len(mixture) == 100
    drawn = Counter(index for epoch in range(108) for index in mixture.order(1, 0, epoch))
    assert drawn[0] == drawn[88] == 100  # lah stands in 11 % already
    assert drawn[98] == drawn[99] == 500
    assert mixture.shares()[0]["utterances"] == 100
    few = Mixture([MixtureComponent(particle_share=1.0)], data, "s")
    assert few._members[0].tolist().count(99) == 8  # never more


def test_switch_pairs_can_be_selected_and_balanced() -> None:
    def mixed(number: int, *languages: str) -> Utterance:
        return utterance(number, "mixed", words=[{"word": "w", "language": language} for language in languages])

    data = [
        *(mixed(i, "ms", "ms", "en", "particle") for i in range(6)),
        *(mixed(10 + i, "zh", "en", "zh", "other") for i in range(2)),
        mixed(20, "ms", "ms"),
    ]
    assert [selectable_fields(row)["switch_pair"] for row in data[5:]] == ["ms-en", "zh-en", "zh-en", "ms"]
    component = MixtureComponent(select='switch_pair != "ms"', balance="switch_pair")
    order = Mixture([component], data, "s").order(1, 0, 0)
    assert sum(index < 6 for index in order) == 4
    assert Counter(order)[8] == 0

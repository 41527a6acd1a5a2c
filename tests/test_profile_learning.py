"""How the numbers of a profile move, which words they mean, and what a model is told."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ledger.insights.structs import TRAITS, Trait, TraitName, Words
from ledger.mind.profile import HALF_LIFE, KEPT, PRIOR, STEP, Evidence, described, gathered, learned, words_of
from ledger.threads.structs import Message, Origin

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SOME = "We walked along the river until the rain came and then we went home."


def said(seq: int, content: str = SOME, at: datetime | None = None, origin: Origin = "person") -> Message:
    moment = at or START + seq * timedelta(minutes=1)
    role = "user" if origin == "person" else "assistant"
    return Message(f"m{seq}", seq, role, origin, content, moment, moment)


def seen(value: float, count: int = 1, at: datetime = START, first: int = 1, trait: TraitName = "humor") -> Evidence:
    ids = [f"m{n}" for n in range(first + count - 1, first - 1, -1)][:KEPT]
    return Evidence(trait, value, count, ids, at)


def proposed(value: float, *ids: str, at: datetime = START) -> Evidence:
    return Evidence("humor", value, len(ids), list(ids), at, proposed=True)


def humor(*pieces: Evidence, trait: Trait | None = None, now: datetime | None = None) -> Trait:
    return learned({"humor": trait} if trait else {}, pieces, now or max(piece.at for piece in pieces))["humor"]


def known(value: float, **changes: object) -> Trait:
    return structs.replace(Trait(value=value, slow=value, weight=30.0, confidence=0.75, seen_at=START), **changes)


def word_after(trait: TraitName, value: float, before: Words | None = None) -> Words:
    return words_of({trait: known(value)}, before or Words())


def tone(formality: float, humor: float = 0.0, seriousness: float = 0.4, before: str | None = None) -> str | None:
    traits = {"formality": known(formality), "humor": known(humor), "seriousness": known(seriousness)}
    return words_of({name: traits[name] for name in TRAITS if name in traits}, Words(tone=before)).tone


shares = st.floats(0, 1)
moments = st.integers(0, 2_000).map(lambda hours: START + timedelta(hours=hours))
pieces = st.builds(
    Evidence,
    st.sampled_from(TRAITS),
    shares,
    st.integers(1, 200),
    st.lists(st.integers(1, 50).map("m{}".format), max_size=KEPT, unique=True),
    moments,
    st.booleans(),
)


def test_only_what_people_said_is_gathered() -> None:
    answers = [said(1, "Haha 😀!", origin="app"), said(2, "Haha 😀!", origin="agent"), said(3)]
    assert {piece.trait: piece.message_ids for piece in gathered(answers)}["humor"] == ["m3"]
    assert gathered(answers[:2]) == []


def test_pace_is_measured_from_what_was_answered() -> None:
    pace = [piece for piece in gathered([said(1, origin="app"), said(2), said(3)]) if piece.trait == "pace"]
    assert [(piece.message_ids, piece.count) for piece in pace] == [(["m2"], 1)]


def test_what_was_read_before_is_context_only() -> None:
    messages = [said(1), said(2, origin="app"), said(3)]
    assert {tuple(piece.message_ids) for piece in gathered(messages, after_seq=2)} == {("m3",)}
    assert "pace" in {piece.trait for piece in gathered(messages, after_seq=2)}


def test_a_piece_is_the_mean_of_a_day_with_its_newest_messages_first() -> None:
    messages = [said(n, "Haha." if n % 4 == 0 else "No, thank you.") for n in range(1, 21)]
    piece = next(piece for piece in gathered(messages) if piece.trait == "humor")
    assert (piece.value, piece.count, piece.at) == (0.25, 20, messages[-1].created_at)
    assert piece.message_ids == [f"m{n}" for n in range(20, 10, -1)]
    next_day = gathered([*messages, said(21, at=START + DAY)])
    assert [piece.count for piece in next_day if piece.trait == "humor"] == [20, 1]


def test_the_first_evidence_decides_the_value_and_more_makes_it_sure() -> None:
    assert humor(seen(0.9)).value == 0.9
    sure = [humor(seen(0.9, count)).confidence for count in (1, PRIOR, 90)]
    assert sure == [round(1 / 11, 4), 0.5, 0.9]


def test_the_value_is_the_mean_of_all_evidence_at_one_time() -> None:
    trait = humor(seen(1.0, 3), seen(0.0, 1, first=4))
    assert (trait.value, trait.weight, trait.evidence_count) == (0.75, 4, 4)


def test_older_evidence_weighs_half_after_its_half_life() -> None:
    trait = humor(seen(1.0, 10), seen(0.0, 10, START + HALF_LIFE, first=11))
    assert (trait.value, trait.weight) == (round(1 / 3, 4), 15)


def test_evidence_that_arrives_late_is_weighed_down_itself() -> None:
    newest = humor(seen(0.0, 10, START + HALF_LIFE, first=11))
    late = humor(seen(1.0, 10), trait=newest)
    assert (late.value, late.weight, late.seen_at) == (round(1 / 3, 4), 15, START + HALF_LIFE)
    assert late.evidence == newest.evidence
    in_order = seen(1.0, 3), seen(0.0, 3, START + HALF_LIFE, first=11)
    assert humor(*in_order) == humor(*reversed(in_order))


def test_evidence_is_kept_newest_first_without_doubles() -> None:
    trait = humor(seen(1.0, 8), seen(1.0, 4, START + DAY, first=9), proposed(1.0, "m12", "m9", at=START + DAY))
    assert trait.evidence == ["m12", "m11", "m10", "m9", "m8", "m7", "m6", "m5", "m4", "m3"]
    assert humor(seen(1.0, 2), proposed(1.0, "m0")).evidence == ["m0", "m2", "m1"]  # of one moment, what came later


def test_a_proposal_moves_a_value_by_a_step_and_counts_as_evidence() -> None:
    trait = humor(proposed(1.0, "m31", "m32", at=START + DAY), trait=known(0.4))
    assert trait.value == 0.5
    assert trait.evidence == ["m31", "m32"]
    assert trait.evidence_count == 2
    assert humor(proposed(0.0, "m31"), trait=known(0.4)).value == 0.3
    assert humor(proposed(0.44, "m31"), trait=known(0.4)).value == 0.44


def test_a_message_a_proposal_cites_again_counts_once() -> None:
    trait = humor(seen(0.5, 3), proposed(1.0, "m3", "m2", "m0"))
    assert (trait.value, trait.evidence_count, trait.weight) == (0.6, 4, 4)


def test_what_rises_strengthens_what_falls_weakens_and_what_stays_is_stable() -> None:
    later = START + 30 * DAY
    assert humor(seen(0.9, 20, later), trait=known(0.4)).trend == "strengthening"
    assert humor(seen(0.1, 20, later), trait=known(0.6)).trend == "weakening"
    assert humor(seen(0.42, 20, later), trait=known(0.4)).trend == "stable"
    assert humor(seen(0.9)).trend == "stable"


def test_a_rise_that_lasts_becomes_stable() -> None:
    trait = known(0.2)
    for month in range(1, 25):
        trait = humor(seen(0.8, 20, START + 30 * month * DAY), trait=trait)
    assert trait.trend == "stable"
    assert trait.value > 0.75


def test_a_trait_nobody_has_shown_for_a_half_life_is_stale() -> None:
    trait = humor(seen(0.9, 20))
    at = START + HALF_LIFE
    assert learned({"humor": trait}, [], at)["humor"].trend == "stable"
    stale = learned({"humor": trait}, [], at + DAY)["humor"]
    assert stale == structs.replace(trait, trend="stale")
    assert humor(seen(0.9, 1, at + DAY), trait=stale).trend == "stable"


def test_without_evidence_nothing_changes() -> None:
    traits = learned({}, gathered([said(n) for n in range(1, 9)]), START)
    assert learned(traits, [], START) == traits
    assert learned({}, [], START) == {}


@given(st.lists(pieces, max_size=20), moments)
def test_nothing_leaves_0_to_1_and_the_same_evidence_gives_the_same(evidence: list[Evidence], now: datetime) -> None:
    traits = learned({}, evidence, now)
    for trait in traits.values():
        assert 0 <= trait.value <= 1
        assert 0 <= trait.slow <= 1
        assert 0 <= trait.confidence < 1
        assert len(set(trait.evidence)) == len(trait.evidence) <= KEPT
    assert learned({}, evidence, now) == traits
    assert learned(traits, [], now) == traits
    lines = described(words_of(traits, Words()), traits)
    assert len(lines) <= 8
    assert lines == described(words_of(traits, Words()), traits)


@given(st.lists(pieces, max_size=10), pieces, moments)
def test_no_proposal_moves_a_value_by_more_than_a_step(before: list[Evidence], piece: Evidence, now: datetime) -> None:
    traits = learned({}, before, now)
    after = learned(traits, [structs.replace(piece, proposed=True)], now)[piece.trait].value
    assert abs(after - traits.get(piece.trait, Trait()).value) <= STEP + 1e-9


@given(st.lists(pieces, max_size=10), moments, shares)
def test_a_pinned_trait_never_moves(evidence: list[Evidence], now: datetime, value: float) -> None:
    pinned = Trait(value=value, pinned=True)
    assert learned(dict.fromkeys(TRAITS, pinned), evidence, now) == dict.fromkeys(TRAITS, pinned)


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_longer_ago_the_less_it_counts(one: int, other: int) -> None:
    near, far = (
        humor(seen(1.0, 10), seen(0.0, 10, START + days * DAY, first=11)) for days in sorted((one, one + other))
    )
    assert near.value > far.value


@given(st.lists(st.tuples(shares, st.integers(1, 30)), min_size=1, max_size=20), st.integers(1, 20))
def test_one_batch_or_several_give_nearly_the_same(rows: list[tuple[float, int]], size: int) -> None:
    moments = [START + sum(days for _, days in rows[:n]) * DAY for n in range(len(rows))]
    evidence = [seen(value, 2, at, 2 * n + 1) for n, ((value, _), at) in enumerate(zip(rows, moments, strict=True))]
    traits: dict[TraitName, Trait] = {}
    for n in range(0, len(evidence), size):
        batch = evidence[n : n + size]
        traits = learned(traits, batch, batch[-1].at)
    assert traits == learned({}, evidence, evidence[-1].at)


def test_messages_read_one_by_one_or_at_once_give_nearly_the_same() -> None:
    texts = [SOME, "Haha, no!", "Why?", "ok 😀", f"{SOME} {SOME} {SOME}"]
    messages = [
        said(n, texts[n % 5], START + n * timedelta(hours=7), "person" if n % 2 else "app") for n in range(1, 90)
    ]
    at_once = learned({}, gathered(messages), messages[-1].created_at)
    one_by_one: dict[TraitName, Trait] = {}
    for n, message in enumerate(messages):
        fresh = gathered(messages[max(0, n - 1) : n + 1], after_seq=n)
        one_by_one = learned(one_by_one, fresh, message.created_at)
    assert at_once.keys() == one_by_one.keys()
    for name, trait in at_once.items():
        assert one_by_one[name].value == pytest.approx(trait.value, abs=0.01)
        assert one_by_one[name].weight == pytest.approx(trait.weight, rel=0.02)
        assert one_by_one[name].evidence == trait.evidence


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.0, "concise"), (0.3499, "concise"), (0.35, "balanced"), (0.65, "balanced"), (0.66, "verbose")],
)
def test_verbosity_in_a_word(value: float, word: str) -> None:
    assert word_after("verbosity", value).verbosity == word


def test_emoji_and_format_in_a_word() -> None:
    assert [word_after("emoji", value).emoji for value in (0.19, 0.2)] == ["off", "on"]
    assert [word_after("structure", value).format for value in (0.29, 0.3)] == ["freeform", "structured"]


@pytest.mark.parametrize(
    ("formality", "humor", "seriousness", "label"),
    [
        (0.2, 0.0, 0.4, "casual"),
        (0.2, 0.3, 0.4, "casual and playful"),
        (0.5, 0.0, 0.4, "neutral"),
        (0.5, 0.3, 0.4, "playful"),
        (0.5, 0.0, 0.8, "serious"),
        (0.8, 0.0, 0.4, "formal"),
        (0.8, 0.0, 0.8, "formal and serious"),
        (0.8, 0.3, 0.8, "formal and playful"),
    ],
)
def test_tone_is_formality_and_what_colours_it(formality: float, humor: float, seriousness: float, label: str) -> None:
    assert tone(formality, humor, seriousness) == label
    assert tone(formality, humor, seriousness, label) == label


def test_there_are_no_words_while_there_is_little_evidence() -> None:
    unsure: dict[TraitName, Trait] = dict.fromkeys(TRAITS, known(0.9, confidence=0.49))
    spoken = Words(verbosity="verbose", emoji="on", format="structured", tone="formal")
    assert words_of(unsure, spoken) == words_of({}, spoken) == Words()
    assert described(Words(), unsure) == []
    assert tone(0.9) == "formal"
    assert words_of({**unsure, "humor": known(0.9)}, Words()).tone is None


def test_a_pinned_trait_has_a_word_at_once() -> None:
    traits: dict[TraitName, Trait] = {"verbosity": Trait(value=0.1, pinned=True), "pace": Trait(value=0.9, pinned=True)}
    words = words_of(traits, Words(verbosity="balanced"))
    assert words == Words(verbosity="concise")
    assert described(words, traits) == ["Keep answers concise.", "They answer quickly."]


def test_a_word_changes_only_clearly_beyond_its_boundary() -> None:
    concise, balanced = Words(verbosity="concise"), Words(verbosity="balanced")
    assert word_after("verbosity", 0.37, concise) == concise
    assert word_after("verbosity", 0.39, concise) == balanced
    assert word_after("verbosity", 0.33, balanced) == balanced
    assert word_after("verbosity", 0.31, balanced) == concise
    assert word_after("verbosity", 0.9, concise).verbosity == "verbose"
    assert [tone(0.42, before="casual"), tone(0.44, before="casual")] == ["casual", "neutral"]
    assert [tone(0.38, before="neutral"), tone(0.36, before="neutral")] == ["neutral", "casual"]
    assert [tone(0.2, 0.13, before="casual and playful"), tone(0.2, 0.13, before="casual")] == [
        "casual and playful",
        "casual",
    ]


def test_a_pinned_value_is_meant_as_it_stands() -> None:
    pinned = words_of({"verbosity": known(0.34, pinned=True)}, Words(verbosity="balanced"))
    assert pinned.verbosity == "concise"


def test_a_person_who_chats_is_described_as_one() -> None:
    texts = ["haha yeah, that's so cool!! 😀", "gonna be late, sorry!", "can't wait!! 😀", "lol what is it?"]
    messages = [said(n, texts[n // 2 % 4], origin="app" if n % 2 else "person") for n in range(1, 81)]
    traits = learned({}, gathered(messages), messages[-1].created_at)
    words = words_of(traits, Words())
    assert words == Words(verbosity="concise", emoji="on", tone="casual and playful")
    assert described(words, traits) == [
        "Keep answers concise.",
        "Emoji are welcome: they use them.",
        "Tone: casual and playful.",
        "They answer quickly.",
    ]


def test_a_person_who_writes_reports_is_described_as_one() -> None:
    finding = "The committee examined the proposal and requested additional documents. "
    report = f"{finding * 6}\n\n- the budget\n- the schedule\n\n{finding * 3}"
    messages = [said(n, report) for n in range(1, 31)]
    traits = learned({}, gathered(messages), messages[-1].created_at)
    assert described(words_of(traits, Words()), traits) == [
        "Give full and detailed answers.",
        "Use emoji sparingly: they hardly ever do.",
        "They like lists and headings.",
        "Tone: formal and serious.",
        "They seldom ask questions.",
    ]

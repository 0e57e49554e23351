"""What is learned is kept, handed on once, and stored whole."""

from pathlib import Path

from policies.curve import ClassStatistics, Observation
from policies.plan import Budget, Plan
from policies.tally import Ballot
from scheduler.curvebook import MAX_CLASSES, OTHER, CurveBook, Seen

PRICE = 3e-4
BUDGET = Budget(1000)


def chain(*, query_class: str = "sums", right: bool = True, model: str = "m") -> Seen:
    """A greedy chain of one pass and a Wait."""
    history = (Ballot(0, "7", 40, 34), Ballot(0, "7", 90, 78, 1))
    plan = Plan("waits", BUDGET, 0.0, shadow=True)
    return Seen(model, Observation(query_class, history, BUDGET, 0.0, plan, {"7": right}))


def votes(*, query_class: str = "sums", answers: str = "778", model: str = "m") -> Seen:
    history = tuple(Ballot(number, a, 50, 44) for number, a in enumerate(answers))
    plan = Plan("votes", BUDGET, None, shadow=True)
    right = {answer: answer == "7" for answer in answers}
    return Seen(model, Observation(query_class, history, BUDGET, None, plan, right))


def test_a_class_that_was_never_seen_has_no_curve() -> None:
    book = CurveBook(PRICE)
    assert book.curve("m", "sums") is None
    book.observe(chain())
    assert book.curve("m", "other sums") is None
    assert book.curve("another model", "sums") is None


def test_the_first_observation_makes_a_curve_and_more_move_it() -> None:
    book = CurveBook(PRICE)
    book.observe(chain(right=True))
    first = book.curve("m", "sums")
    for _ in range(9):
        book.observe(chain(right=False))
    later = book.curve("m", "sums")
    assert first is not None and later is not None
    assert (first.queries, later.queries) == (1, 10)
    assert first.extension is not None and later.extension is not None
    assert later.extension.accuracy[0] < first.extension.accuracy[0]


def test_a_well_known_class_is_refitted_after_a_tenth_more() -> None:
    book = CurveBook(PRICE)
    fitted = []
    for _ in range(60):
        book.observe(chain())
        curve = book.curve("m", "sums")
        assert curve is not None
        fitted.append(curve.queries)
    assert fitted[:10] == list(range(1, 11))
    assert len(set(fitted)) < 40
    assert all(seen - known <= max(1, 0.1 * seen) for seen, known in enumerate(fitted, start=1))


def test_only_newer_curves_are_given_back() -> None:
    book = CurveBook(PRICE)
    first = book.exchange([chain(), votes(query_class="words")], 0)
    assert first.curves.keys() == {("m", "sums"), ("m", "words")}
    assert book.exchange([], first.version).curves == {}
    second = book.exchange([chain()], first.version)
    assert second.version > first.version
    assert second.curves.keys() == {("m", "sums")}
    assert second.curves["m", "sums"] is book.curve("m", "sums")
    assert book.exchange([], 0).curves.keys() == first.curves.keys()


def test_a_saved_book_loads_with_the_same_curves(tmp_path: Path) -> None:
    book, path = CurveBook(PRICE), tmp_path / "kept" / "curves.json"
    for seen in [chain(), votes(), chain(right=False), votes(answers="789"), chain()]:
        book.observe(seen)
    book.save(path)
    loaded = CurveBook.load(path, PRICE)
    assert loaded.as_dict() == book.as_dict()
    assert [file.name for file in path.parent.iterdir()] == ["curves.json"]


def test_a_loaded_book_learns_on_like_the_saved_one(tmp_path: Path) -> None:
    book, path = CurveBook(PRICE), tmp_path / "curves.json"
    for _ in range(5):
        book.observe(chain())
    book.save(path)
    loaded = CurveBook.load(path, PRICE)
    for known in (book, loaded):
        known.observe(votes(answers="77777"))
    assert loaded.as_dict() == book.as_dict()
    assert loaded.exchange([], 0).version > 0


def test_a_new_class_leans_on_the_models_other_classes_only() -> None:
    alone, beside, apart = CurveBook(PRICE), CurveBook(PRICE), CurveBook(PRICE)
    for _ in range(30):
        beside.observe(chain(query_class="known", right=False))
        apart.observe(chain(query_class="known", right=False, model="another"))
    curves = []
    for book in (alone, beside, apart):
        book.observe(chain())
        curve = book.curve("m", "sums")
        assert curve is not None and curve.extension is not None
        curves.append(curve.extension.accuracy[0])
    assert curves[0] == curves[2]
    assert curves[1] < curves[0]


def test_past_the_bound_new_classes_share_one_curve() -> None:
    book = CurveBook(PRICE)
    book.observe(chain())
    # Filled by hand: a thousand fits take seconds.
    for number in range(MAX_CLASSES - 1):
        book._statistics["another model", str(number)] = ClassStatistics()
    for number in range(5):
        book.observe(chain(query_class=f"new {number}"))
    edition = book.exchange([], 0)
    assert edition.curves.keys() == {("m", "sums"), ("m", OTHER)}
    assert edition.curves["m", OTHER].queries == 5
    assert book.curve("m", "new 3") is edition.curves["m", OTHER]
    book.observe(chain())
    assert len(book.exchange([], edition.version).curves) == 1

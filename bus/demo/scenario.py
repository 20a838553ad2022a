"""The scenario: one working day of a shop and its managers, planned from a seed, with what must be true in the evening.

Only what has one possible ending is promised: a field that one side alone edits ends as its last edit; a status moves
forward only, so it ends at the furthest that anybody set; a comment that both sides edited within a second may end as
either, but as the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from bus.demo import people
from bus.demo.people import Customer, Line

LIFE = ("new", "accepted", "paid", "shipped", "completed")
"""Statuses in the order of an order's life; cancelled stands aside and is final."""
STAGES = {
    "PREPARATION": "accepted",
    "PREPAYMENT_INVOICE": "accepted",
    "FINAL_INVOICE": "shipped",
    "WON": "completed",
    "LOSE": "cancelled",
}
"""Where managers move deals, and what they mean by it."""

Value = Any


@dataclass(frozen=True, slots=True)
class Step:
    """Something a person does to one order, not before `at` (a share of the day) and not before the step in front."""

    at: float
    do: str
    detail: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """One order: who, what, what happens to it, and what must be true of it in the evening."""

    number: int
    customer: Customer
    phone: str
    lines: tuple[Line, ...]
    delivery: tuple[int, str, str]
    address: str
    steps: list[Step]
    expected: dict[str, Value] = field(default_factory=dict)
    either: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    """Contested fields: any of these, but one and the same everywhere."""
    bank: str | None = None
    """Number of the payment that the bank told of."""
    busy: bool = False
    """The later steps of this order decide its end: no manager moves it besides."""

    @property
    def price(self) -> Decimal:
        """What the shop will ask for it, at first."""
        return sum((line.price * line.quantity for line in self.lines), Decimal(self.delivery[2]))

    @property
    def last(self) -> float:
        """When its last step so far is due."""
        return self.steps[-1].at

    def then(self, gap: float, do: str, **detail: Value) -> None:
        """One more step, a while after the last."""
        self.steps.append(Step(min(self.last + gap, 0.97), do, detail))

    def reached(self, status: str) -> None:
        """Somebody set this status: the furthest is where it ends."""
        now = self.expected["status"]
        if status == "cancelled" or (now != "cancelled" and LIFE.index(status) > LIFE.index(now)):
            self.expected["status"] = status


@dataclass(frozen=True, slots=True)
class Day:
    """All stories, and the deals that managers keep for themselves."""

    stories: list[Story]
    leads: list[str]
    """Titles of deals without an order, made on purpose."""

    def count(self, *kinds: str) -> int:
        """How many steps of these kinds are planned."""
        return sum(step.do in kinds for story in self.stories for step in story.steps)


def plan(seed: int, orders: int) -> Day:
    """The same day for the same numbers."""
    rng = Random(seed)  # noqa: S311 - repeatable on purpose
    buyers = people.customers(rng, max(1, orders * 3 // 4))
    stories = [_story(rng, number, rng.choice(buyers)) for number in range(orders)]
    shuffled = rng.sample(stories, orders)
    queue = iter(shuffled)
    _each(queue, max(2, orders // 60), lambda story: _begun_by_phone(rng, story))
    queue = iter(rng.sample(stories, orders))
    pays = orders * 2 // 3
    few, partly, banked = max(5, orders // 50), orders // 10, max(10, orders // 20)
    _each(queue, max(10, orders // 25), lambda story: _cancelled_in_shop(rng, story))
    _each(queue, max(3, orders // 33), lambda story: _lost_by_manager(rng, story))
    _each(queue, banked, lambda story: _paid_through_bank(rng, story))
    _each(queue, partly, lambda story: _paid_in_parts(rng, story))
    _each(queue, few, lambda story: _refunded(rng, story))
    _each(queue, few, lambda story: _told_by_books(rng, story, "books_pay"))
    _each(queue, few, lambda story: _told_by_books(rng, story, "statement_pay"))
    done = sum(step.do in PAYS for story in stories for step in story.steps)
    _each(queue, max(0, pays - done), lambda story: _paid_at_once(rng, story))
    rest = list(queue)
    _each(iter(rest), orders // 30, lambda story: _changed_its_goods(rng, story))
    _edits(rng, stories)
    _moves(rng, stories, pays)
    return Day(stories, [f"Переговоры {at + 1}" for at in range(max(2, orders // 100))])


PAYS = ("pay", "pay_part", "bank_pay", "books_pay", "statement_pay")
EDITS = ("comment_shop", "comment_crm", "comment_both", "address_shop", "address_crm", "email_shop", "lines_shop")


def _each(queue: Iterator[Story], count: int, change: Callable[[Story], None]) -> None:
    for _ in range(count):
        if story := next(queue, None):
            change(story)


def _story(rng: Random, number: int, customer: Customer) -> Story:
    address, delivery = people.address(rng), rng.choice(people.DELIVERIES)
    phone = customer.phone(rng)
    lines = people.basket(rng)
    first = Step(rng.uniform(0.0, 0.62), "order", {"lines": [_native(line) for line in lines]})
    story = Story(number, customer, phone, lines, delivery, address, [first])
    story.expected = {
        "status": "new",
        "name": customer.name,
        "phone": customer.digits,
        "email": customer.email,
        "address": address,
        "lines": [(line.name, str(line.quantity), f"{line.price:.2f}") for line in story.lines],
        "total": f"{story.price:.2f}",
        "paid": "0.00",
    }
    return story


def _gap(rng: Random) -> float:
    return rng.uniform(0.025, 0.09)


def _begun_by_phone(rng: Random, story: Story) -> None:
    """A manager makes the deal while talking; the customer orders a little later, and the shop knows the deal's id."""
    order = story.steps[0]
    comment = f"Звонил {story.customer.name}, перезвонить"
    story.steps[0] = Step(max(0.0, order.at - 0.05), "deal", {"comment": comment})
    story.then(0.04 + rng.uniform(0, 0.03), "order", **order.detail)
    story.expected["comment"] = comment


def _cancelled_in_shop(rng: Random, story: Story) -> None:
    story.busy = True
    if rng.random() < 0.4:  # noqa: PLR2004 - some were accepted before
        story.then(_gap(rng), "move", stage="PREPARATION")
    story.then(_gap(rng), "cancel", reason="Передумал")
    story.reached("cancelled")


def _lost_by_manager(rng: Random, story: Story) -> None:
    story.busy = True
    story.then(_gap(rng), "move", stage="LOSE")
    story.reached("cancelled")


def _paid_at_once(rng: Random, story: Story) -> None:
    story.then(_gap(rng), "pay", total=f"{story.price:.2f}")
    _paid_up(story)


def _paid_in_parts(rng: Random, story: Story) -> None:
    """Most pay the rest; some never do."""
    first = (story.price * Decimal(rng.choice(("0.2", "0.3", "0.5")))).quantize(Decimal("0.01"))
    story.then(_gap(rng), "pay_part", amount=f"{first:.2f}", total=f"{first:.2f}")
    story.expected["paid"] = f"{first:.2f}"
    if rng.random() < 0.8:  # noqa: PLR2004 - most
        story.then(_gap(rng), "pay", total=f"{story.price:.2f}")
        _paid_up(story)


def _refunded(rng: Random, story: Story) -> None:
    _paid_at_once(rng, story)
    story.then(_gap(rng) + 0.05, "refund")
    story.expected["paid"] = "0.00"
    story.busy = True


def _paid_through_bank(rng: Random, story: Story) -> None:
    story.bank = f"ПП-{100_000 + story.number}"
    story.then(_gap(rng), "bank_pay", external=story.bank, total=f"{story.price:.2f}", twice=rng.random() < 0.3)  # noqa: PLR2004
    _paid_up(story)


def _told_by_books(rng: Random, story: Story, how: str) -> None:
    """Entered by the accountant, or found in a statement: nobody in the shop knows of it."""
    story.bank = f"{200_000 + story.number}"
    story.then(_gap(rng), how, external=story.bank, total=f"{story.price:.2f}")
    _paid_up(story)


def _paid_up(story: Story) -> None:
    story.expected["paid"] = f"{story.price:.2f}"
    story.reached("paid")


def _changed_its_goods(rng: Random, story: Story) -> None:
    """Before anything is paid, the customer takes something else."""
    story.lines = people.basket(rng)
    story.then(_gap(rng), "lines_shop", lines=[_native(line) for line in story.lines])
    story.expected["lines"] = [(line.name, str(line.quantity), f"{line.price:.2f}") for line in story.lines]
    story.expected["total"] = f"{story.price:.2f}"


def _native(line: Line) -> dict[str, Value]:
    return {"productId": line.product, "name": line.name, "price": float(line.price), "quantity": line.quantity}


def _edits(rng: Random, stories: list[Story]) -> None:
    """Comments and addresses, each from one side only, and some comments from both at once."""
    many = max(3, len(stories) // 15)
    for kind in ("comment_shop", "comment_crm", "comment_both", "address_shop", "address_crm", "email_shop"):
        name = kind.partition("_")[0]
        once = {one.customer.digits for one in stories} - _several(stories)
        fits = [one for one in stories if _untouched(one, name) and (name != "email" or one.customer.digits in once)]
        for story in rng.sample(fits, min(many, len(fits))):
            _edit(rng, story, kind, name)


def _several(stories: list[Story]) -> set[str]:
    """Customers with more than one order share one contact in the CRM: their e-mail is not edited in one order."""
    seen: set[str] = set()
    twice: set[str] = set()
    for story in stories:
        (twice if story.customer.digits in seen else seen).add(story.customer.digits)
    return twice


def _untouched(story: Story, name: str) -> bool:
    return not any(step.do.startswith(name) for step in story.steps) and (
        name != "comment" or "comment" not in story.expected
    )


def _edit(rng: Random, story: Story, kind: str, name: str) -> None:
    if kind == "comment_both":
        here, there = (f"{word} к заказу {story.number}" for word in ("Примечание магазина", "Примечание менеджера"))
        story.then(_gap(rng), kind, here=here, there=there)
        story.either["comment"] = (here, there)
        return
    values = {
        "comment": f"Пожелание {story.number}: позвонить до {rng.randint(9, 20)} часов & проверить",
        "address": people.address(rng),
        "email": f"new{story.number}@example.test",
    }
    story.then(_gap(rng), kind, value=values[name])
    story.expected[name] = values[name]


def _moves(rng: Random, stories: list[Story], wanted: int) -> None:
    """Managers move deals: accept, ship, complete; each order only forward, as far as its payments allow or further."""
    left = wanted - sum(step.do == "move" for story in stories for step in story.steps)
    free = [story for story in rng.sample(stories, len(stories)) if not story.busy]
    rounds = (("PREPARATION", "PREPAYMENT_INVOICE"), ("FINAL_INVOICE",), ("WON",))
    for stages in rounds:
        for story in free[: max(1, left * 2 // 3)] if stages[0] != "WON" else free:
            if left > 0 and _goes_on(rng, story, stages[0]):
                stage = rng.choice(stages)
                story.then(_gap(rng), "move", stage=stage)
                story.reached(STAGES[stage])
                left -= 1


def _goes_on(rng: Random, story: Story, stage: str) -> bool:
    """An order further on is not accepted again, but now and then by mistake: the bus then puts the deal back."""
    return LIFE.index(STAGES[stage]) > LIFE.index(story.expected["status"]) or rng.random() < 0.05  # noqa: PLR2004

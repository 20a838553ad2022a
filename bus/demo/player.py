"""Player: people at work. A few hands take the planned steps in their time, through the stand-ins' control API."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from bus.demo.bank import Bank
from bus.demo.scenario import Day, Step, Story
from bus.demo.teller import Teller
from bus.demo.trouble import Fault
from bus.demo.watch import Watch
from bus.errors import BusError
from bus.supervise.control import Control

_AGAIN_S = 0.15
"""A manager whose deal is not there yet looks again after this."""
_HANDS = 3
_AFTER_THE_DEAL = ("move", "comment_crm", "comment_both", "address_crm", "statement_pay")
"""Steps of managers, who need the deal; and a bank's statement, which comes the morning after."""
LATE_S = 60.0
"""What cannot be done so long after the day was over is given up, and told."""


@dataclass(slots=True)
class Turn:
    """Where one story stands."""

    story: Story
    at: int = 0
    order: int | None = None
    account: str = ""
    deal: int | None = None
    tried: float | None = None
    """When the next step was begun, if it could not be ended at once."""

    @property
    def step(self) -> Step:
        """What is next."""
        return self.story.steps[self.at]


@dataclass(slots=True)
class Played:
    """What came of the day."""

    done: Counter[str] = field(default_factory=Counter)
    turns: list[Turn] = field(default_factory=list)
    leads: list[int] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    """Steps that could not be taken, with the reason."""

    @property
    def stories(self) -> dict[int, Story]:
        """Story by shop order."""
        return {turn.order: turn.story for turn in self.turns if turn.order is not None}


class Hand:
    """One person at a time: connections of its own, and how each kind of step is done."""

    def __init__(self, shop: Control, crm: Control, bank: Bank, teller: Teller, watch: Watch) -> None:
        self._shop, self._crm, self._bank, self._teller, self._watch = shop, crm, bank, teller, watch

    def take(self, turn: Turn) -> bool:
        """Do the next step; False when it cannot be done yet."""
        step = turn.step
        if step.do == "deal":
            return self._begin_by_phone(turn, step)
        if step.do == "order":
            return self._order(turn)
        if step.do == "books_pay":
            return self._teller.enter(turn.account, step.detail["total"], step.detail["external"])
        if step.do == "bank_pay":
            return self._pay_through_bank(turn, step)
        if step.do in _AFTER_THE_DEAL and not self._knows_deal(turn):
            return False
        return self._change(turn, step)

    def _change(self, turn: Turn, step: Step) -> bool:
        acts: dict[str, Callable[[], object]] = {
            "move": lambda: self._crm.act("move_deal", id=turn.deal, stage=step.detail["stage"]),
            "comment_crm": lambda: self._edit_deal(turn, COMMENTS=step.detail["value"]),
            "address_crm": lambda: self._edit_deal(turn, UF_CRM_DELIVERY_ADDRESS=step.detail["value"]),
            "comment_both": lambda: self._both(turn, step),
            "comment_shop": lambda: self._edit_order(turn, fields={"comments": step.detail["value"]}),
            "address_shop": lambda: self._edit_order(turn, properties={"ADDRESS": step.detail["value"]}),
            "email_shop": lambda: self._edit_order(turn, properties={"EMAIL": step.detail["value"]}),
            "lines_shop": lambda: self._edit_order(turn, lines=step.detail["lines"]),
            "cancel": lambda: self._shop.act("cancel_order", id=turn.order, reason=step.detail["reason"]),
            "pay": lambda: self._pay(turn, step),
            "pay_part": lambda: self._pay(turn, step, amount=float(step.detail.get("amount", 0))),
            "refund": lambda: self._refund(turn),
            "statement_pay": lambda: self._teller.statement(
                turn.account, step.detail["total"], step.detail["external"]
            ),
        }
        acts[step.do]()
        return True

    def _knows_deal(self, turn: Turn) -> bool:
        if turn.deal is None and turn.order is not None:
            turn.deal = self._watch.deals.get(turn.order)
        return turn.deal is not None

    def _begin_by_phone(self, turn: Turn, step: Step) -> bool:
        fields = {"title": f"Звонок: {turn.story.customer.name}", "COMMENTS": step.detail["comment"]}
        turn.deal = int(self._crm.act("create_deal", fields=fields)["id"])
        return True

    def _order(self, turn: Turn) -> bool:
        story = turn.story
        customer = {
            "fio": story.customer.name,
            "phone": story.phone,
            "email": story.customer.email,
            "address": story.address,
        }
        known = {"DEAL_ID": str(turn.deal)} if turn.deal is not None else {}
        delivery = {"id": story.delivery[0], "price": float(story.delivery[2])}
        made = self._shop.act(
            "create_order", customer=customer, lines=turn.step.detail["lines"], delivery=delivery, properties=known
        )
        turn.order, turn.account = int(made["id"]), str(made["accountNumber"])
        return True

    def _edit_deal(self, turn: Turn, **fields: str) -> None:
        self._crm.act("edit_deal", id=turn.deal, fields=fields)

    def _edit_order(self, turn: Turn, **parts: object) -> None:
        self._shop.act("edit_order", id=turn.order, **parts)

    def _both(self, turn: Turn, step: Step) -> None:
        """Shop and manager write into the same field, a few milliseconds apart."""
        self._edit_order(turn, fields={"comments": step.detail["here"]})
        self._edit_deal(turn, COMMENTS=step.detail["there"])

    def _pay(self, turn: Turn, step: Step, **amount: float) -> None:
        lost, since = self._lost(), time.monotonic()
        self._shop.act("pay_order", id=turn.order, **amount)
        heard = self._lost() == lost
        self._watch.paid(int(turn.order or 0), float(step.detail["total"]), since, heard=heard)

    def _lost(self) -> int:
        return int(self._shop.get("events")["lost"])

    def _refund(self, turn: Turn) -> None:
        self._watch.forget(int(turn.order or 0))
        self._shop.act("refund_payment", id=turn.order)

    def _pay_through_bank(self, turn: Turn, step: Step) -> bool:
        """Told until somebody takes it; some banks tell everything twice."""
        external, total = step.detail["external"], step.detail["total"]
        turn.tried = turn.tried or time.monotonic()
        if not self._bank.paid(external, turn.account, total):
            return False
        self._watch.paid(int(turn.order or 0), float(total), turn.tried)
        if step.detail["twice"]:
            self._bank.paid(external, turn.account, total)
        return True


class Player:
    """Plays a day in `day_s` seconds; `played` grows while it does."""

    def __init__(
        self,
        day: Day,
        faults: list[Fault],
        day_s: float,
        watch: Watch,
        hand: Callable[[], Hand],
        *,
        late_s: float = LATE_S,
    ) -> None:
        self._late_s = late_s
        self._faults, self._day_s, self._watch, self._hand = sorted(faults, key=lambda one: one.at), day_s, watch, hand
        self.played = Played(turns=[Turn(story) for story in day.stories])
        self._leads = day.leads
        self._queue: list[tuple[float, int, Turn]] = []
        self._left = sum(len(story.steps) for story in day.stories)
        self._ready = threading.Condition()
        self._threads: list[threading.Thread] = []
        self.failure: Exception | None = None

    def begin(self, portal: Control, shop: Control) -> None:
        """Open the shop. `portal` and `shop` are the administrator's connections, by which things go wrong."""
        self._begun = time.monotonic()
        for title in self._leads:
            self.played.leads.append(int(portal.act("create_deal", fields={"title": title})["id"]))
        for turn in self.played.turns:
            self._push(turn, self._begun + turn.step.at * self._day_s)
        self._threads = [threading.Thread(target=self._work, name="hand", daemon=True) for _ in range(_HANDS)]
        self._threads.append(threading.Thread(target=self._break, args=(portal, shop), name="trouble", daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Everything was done, or given up."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Leave what is not done."""
        self._end()
        for thread in self._threads:
            thread.join()

    def _end(self) -> None:
        with self._ready:
            self._left = 0
            self._ready.notify_all()

    def _break(self, portal: Control, shop: Control) -> None:
        for fault in self._faults:
            with self._ready:
                self._ready.wait_for(lambda: not self._left, timeout=self._pause(fault.at))
                if not self._left:
                    return
            (portal if fault.system == "crm" else shop).post("faults", fault.body(self._day_s))
            if spoils := fault.spoils(self._day_s):
                self._watch.spoil(spoils)

    def _pause(self, at: float) -> float:
        return max(0.0, self._begun + at * self._day_s - time.monotonic())

    def _work(self) -> None:
        try:
            self._work_on(self._hand())
        except Exception as error:  # noqa: BLE001 - whatever it is: the day is over, and `run` tells
            self.failure = error
            self._end()

    def _work_on(self, hand: Hand) -> None:
        while turn := self._next():
            name = turn.step.do
            try:
                done = hand.take(turn)
            except (BusError, requests.RequestException) as error:
                self._give_up(turn, str(error))
                continue
            if done:
                self._did(turn, name)
            elif time.monotonic() > self._begun + self._day_s + self._late_s:
                self._give_up(turn, "its deal never appeared")
            else:
                self._push(turn, time.monotonic() + _AGAIN_S)

    def _next(self) -> Turn | None:
        """The turn that is due first, when it is due; None when the day is over."""
        with self._ready:
            while self._left:
                pause = self._queue[0][0] - time.monotonic() if self._queue else None
                if pause is not None and pause <= 0:
                    return heapq.heappop(self._queue)[2]
                self._ready.wait(pause)
        return None

    def _did(self, turn: Turn, name: str) -> None:
        turn.at, turn.tried = turn.at + 1, None
        with self._ready:
            self.played.done[name] += 1
            self._left = max(0, self._left - 1)
            self._ready.notify_all()
        if turn.at < len(turn.story.steps):
            self._push(turn, self._begun + turn.step.at * self._day_s)

    def _give_up(self, turn: Turn, reason: str) -> None:
        left = len(turn.story.steps) - turn.at
        with self._ready:
            self.played.undone.append(f"order {turn.order or '?'}: {turn.step.do} and {left - 1} more: {reason}")
            self._left = max(0, self._left - left)
            self._ready.notify_all()

    def _push(self, turn: Turn, when: float) -> None:
        with self._ready:
            heapq.heappush(self._queue, (when, turn.story.number, turn))
            self._ready.notify()

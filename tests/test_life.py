"""The whole life of an allocator, in any order that a user may find: asked, answered, misused, resumed, extended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cerolab import Allocation, BudgetLedger, Feedback, available, make
from cerolab.errors import CerolabError, InvalidValueError, ProtocolError, StateError
from tests.strategies import feedbacks, method_options, options_for, problems, same_state, success_rates, through_a_file

EXAMPLES = {"thorough": 10_000, "dev": 25}.get(settings.get_current_profile_name(), 100)
FIXED_POOL = ("random_matched", "oracle")  # as they are made here: with a schedule, with an array of rates


class Life(RuleBasedStateMachine):
    """One allocator beside the ledger of its loop."""

    @initialize(data=st.data())
    def begin(self, data):
        self.name = data.draw(st.sampled_from(available()))
        problem = data.draw(problems())
        if data.draw(st.booleans()):
            unit = problem.responses_per_unit * 5
            problem = replace(problem, token_budget=data.draw(st.integers(unit, 40 * unit)), max_tokens=5)
        rates = data.draw(success_rates(problem.num_prompts))
        self.options = {**options_for(self.name, replace(problem, token_budget=None, max_tokens=None), rates)}
        self.options |= data.draw(method_options(self.name, problem))
        self.seed, self.graded = data.draw(st.integers(0, 2)), data.draw(st.booleans())
        self.allocator = make(self.name, problem, self.seed, **self.options)
        self.ledger = BudgetLedger(problem)
        self.asked: Allocation | None = None

    def given_feedback(self, data, allocation):
        feedback = data.draw(feedbacks(allocation, self.allocator.problem, self.graded))
        if self.allocator.problem.token_budget is None:
            return feedback
        most = allocation.units * self.allocator.problem.most_unit_tokens
        return replace(feedback, num_tokens=np.array([data.draw(st.integers(0, int(n))) for n in most], np.int64))

    def refused(self, error, action, *args):
        """The call raises, with a message, and leaves state and question as they were."""
        before = self.allocator.state_dict()
        with pytest.raises(error) as raised:
            action(*args)
        assert str(raised.value)
        assert same_state(before, self.allocator.state_dict())
        if self.asked is not None:
            assert self.allocator.allocate().matches(self.asked)

    @property
    def over(self):
        return self.ledger.round_index >= self.ledger.problem.num_rounds

    @rule()
    def ask(self):
        allocation = self.allocator.allocate()
        assert self.asked is None or allocation is self.asked
        assert self.allocator.allocate() is allocation
        self.asked = allocation

    @precondition(lambda self: self.asked is not None and not self.over)
    @rule(data=st.data())
    def answer(self, data):
        feedback = self.given_feedback(data, self.asked)
        self.ledger.spend(self.asked)  # refuses what the problem does not allow
        if feedback.num_tokens is not None:
            self.ledger.count_tokens(int(np.sum(feedback.num_tokens)))
        self.allocator.observe(self.asked, feedback)
        if self.asked.last_wave:
            self.ledger.end_round(updated=bool(self.asked.num_groups))
        self.asked = None

    @precondition(lambda self: self.asked is not None and self.asked.num_groups)
    @rule(data=st.data(), kind=st.sampled_from(("too many", "nan", "negative", "short", "above", "no arrays")))
    def answer_what_cannot_be(self, data, kind):
        good = self.given_feedback(data, self.asked)
        n, total = (np.array(x, np.float64) for x in (good.num_responses, good.reward_sum))
        at = data.draw(st.integers(0, n.size - 1))
        if kind == "too many":
            n[at] = self.asked.units[at] * self.allocator.problem.responses_per_unit + 1
        elif kind == "above":
            total[at] = n[at] + 0.5
        elif kind == "short":
            total = total[:-1]
        elif kind == "no arrays":
            total = "all right"
        else:
            total[at] = np.nan if kind == "nan" else -1.0
        bad = Feedback(n, total, None, good.num_tokens)
        self.refused(InvalidValueError, self.allocator.observe, self.asked, bad)

    @rule()
    def answer_another_question(self):
        other = Allocation([0], [self.allocator.problem.capacity + 1])
        self.refused(ProtocolError, self.allocator.observe, other, Feedback([1], [0]))
        self.refused(ProtocolError, self.allocator.observe, None, None)

    @rule()
    def stop_and_resume(self):
        state = through_a_file(self.allocator.state_dict())
        problem = self.allocator.problem
        resumed = make(self.name, problem, self.seed, **self.options)
        resumed.load_state_dict(state)
        assert same_state(resumed.state_dict(), self.allocator.state_dict())
        if self.asked is not None:  # the decision is made again, and is the same
            self.asked = resumed.allocate()
            assert self.asked.matches(self.allocator.allocate())
        self.allocator = resumed
        books = BudgetLedger(problem)
        books.load_state_dict(through_a_file(self.ledger.state_dict()))
        self.ledger = books

    @rule(data=st.data(), damage=st.sampled_from(("missing", "shape", "nan", "text")))
    def load_what_is_damaged(self, data, damage):
        state = self.allocator.state_dict()
        key = data.draw(st.sampled_from(sorted(state)))
        if damage == "missing":
            del state[key]
        else:
            state[key] = {"shape": np.zeros((3, 3, 3)), "nan": np.nan, "text": "?"}[damage]
        self.refused(StateError, self.allocator.load_state_dict, state)

    @rule(num_new=st.integers(1, 3))
    def extend(self, num_new):
        if self.name in FIXED_POOL:
            self.refused(InvalidValueError, self.allocator.extend, num_new)
        elif self.allocator.round_open:
            self.refused(ProtocolError, self.allocator.extend, num_new)
        elif self.ledger.problem.num_prompts < 12:
            self.allocator.extend(num_new)
            self.ledger.extend(num_new)

    @rule(num_new=st.sampled_from((0, -1, 1.5, "2", None)))
    def extend_by_nonsense(self, num_new):
        self.refused(CerolabError, self.allocator.extend, num_new)

    @invariant()
    def the_books_agree(self):
        if not hasattr(self, "ledger"):
            return
        allocator, ledger = self.allocator, self.ledger
        assert (allocator.remaining, allocator.round_index) == (ledger.remaining, ledger.round_index)
        assert allocator.remaining_tokens == ledger.remaining_tokens
        assert allocator.problem == ledger.problem
        assert allocator.predicted_success().shape == (allocator.problem.num_prompts,)
        assert np.isfinite(list(allocator.metrics().values())).all()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=EXAMPLES, stateful_step_count=25)

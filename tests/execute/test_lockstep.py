"""Tasks in step: one runs at a time, calls of one kind are answered together, and whoever fails or
is dropped fails alone.
"""

import threading

import pytest

from maquette.errors import MaquetteError
from maquette.execute.lockstep import Call, Lockstep


def doubling(batches):
    """Answers numbers with twice as much, and notes which came together."""

    def answer(calls):
        batches.append([call.arguments for call in calls])
        return [2 * call.arguments for call in calls]

    return answer


def test_each_gets_its_own_answer_and_calls_of_a_kind_come_together():
    batches = []
    meeting = Lockstep(doubling(batches))

    def task(number):
        first = meeting.ask(Call("a", number))
        second = meeting.ask(Call("a" if number < 2 else "b", first + 1))
        return second

    tasks = [lambda n=n: task(n) for n in range(3)]
    assert meeting.run(tasks) == [2 * (2 * n + 1) for n in range(3)]
    assert batches == [[0, 1, 2], [1, 3], [5]]


def test_one_task_runs_at_a_time_and_time_changes_nothing():
    running = threading.Lock()

    def walk(pauses):
        batches = []
        meeting = Lockstep(doubling(batches))

        def task(number):
            for step in range(number + 1):
                assert running.acquire(blocking=False)
                threading.Event().wait(pauses[number] / 100)
                running.release()
                meeting.ask(Call("a", 10 * number + step))

        meeting.run([lambda n=n: task(n) for n in range(3)])
        return batches

    assert walk([0, 1, 2]) == walk([2, 1, 0]) == [[0, 10, 20], [11, 21], [22]]


def test_who_is_ahead_waits_until_the_others_have_caught_up():
    batches = []
    meeting = Lockstep(doubling(batches))

    def task(number):
        for _ in range(number):
            meeting.ask(Call("part", number))
        meeting.ask(Call("whole", 10 * number))

    meeting.run([lambda n=n: task(n) for n in (1, 3, 2)])
    assert batches == [[1, 3, 2], [3, 2], [3], [10, 30, 20]]


def test_what_cannot_be_answered_together_is_answered_in_halves():
    sizes = []

    def answer(calls):
        sizes.append(len(calls))
        if len(calls) > 2:
            raise MemoryError("too much")
        if any(call.arguments == 3 for call in calls):
            raise ValueError("bad")
        return [call.arguments for call in calls]

    meeting = Lockstep(answer)

    def task(number):
        try:
            return meeting.ask(Call("a", number))
        except ValueError as error:
            return str(error)

    assert meeting.run([lambda n=n: task(n) for n in range(5)]) == [0, 1, 2, "bad", 4]
    assert sizes == [5, 2, 3, 1, 2, 1, 1]


def test_a_dropped_task_ends_and_the_others_go_on():
    batches = []
    meeting = Lockstep(doubling(batches))

    def task(number):
        try:
            meeting.ask(Call("a", number))
            if number == 1:
                meeting.drop(0)  # it waits to lead the next call
                meeting.drop(2)  # it has not heard its answer yet
            return meeting.ask(Call("a", number))
        except MaquetteError as error:
            return str(error)

    given_up = "it was given up while others went on"
    assert meeting.run([lambda n=n: task(n) for n in range(4)]) == [given_up, 2, given_up, 6]
    assert batches == [[0, 1, 2, 3], [1, 3]]


def test_an_error_of_a_task_is_raised_when_the_others_are_done():
    meeting = Lockstep(doubling([]))
    done = []

    def good():
        for number in range(3):
            meeting.ask(Call("a", number))
        done.append(True)

    def bad():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        meeting.run([bad, good])
    assert done == [True]


def test_an_interrupt_ends_all_tasks():
    meeting = Lockstep(doubling([]))
    ended = []

    def task(number):
        try:
            while True:
                meeting.ask(Call("a", number))
        except KeyboardInterrupt:
            ended.append(number)
            raise

    step = meeting._step
    steps = iter(range(3))

    def interrupted(walking):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        step(walking)

    meeting._step = interrupted
    with pytest.raises(KeyboardInterrupt):
        meeting.run([lambda n=n: task(n) for n in range(3)])
    assert ended == [0, 1, 2]

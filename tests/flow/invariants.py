"""What is true after everything, whatever has happened."""

from collections import Counter

from local.chaos.invariants import lines_of
from pixhook.lifecycle import is_terminal
from tests.flow.world import World


def assert_money_is_exact(world: World, account_id: str) -> None:
    """The balance is the sum of the movements, and each task was reserved once and settled or refunded as it ended."""
    account = world.accounts.get(account_id)
    assert account is not None
    movements = world.accounts.movements(account_id, limit=1000, cursor=None).items
    assert account.balance == sum(movement.credits for movement in movements) >= 0
    tasks = {task.id: task for task in world.tasks() if task.account_id == account_id}
    assert account.tasks_in_flight == sum(not is_terminal(task.status) for task in tasks.values())
    of_tasks = Counter((move.source, move.kind, move.credits) for move in movements if move.source in tasks)
    assert of_tasks == Counter(line for task in tasks.values() for line in lines_of(task))
    of_operators = Counter(move.source for move in movements if move.source not in tasks)
    assert set(of_operators.values()) <= {1}


def assert_every_end_was_told(world: World) -> None:
    """Each task has ended, and its events all say so under one id."""
    told: dict[str, set[tuple[str, str]]] = {}
    for event in world.events():
        detail = event["detail"]
        told.setdefault(detail["task_id"], set()).add((detail["id"], detail["status"]))
    tasks = world.tasks()
    assert all(is_terminal(task.status) for task in tasks), [task.status for task in tasks]
    assert {task.id: [task.status] for task in tasks} == {
        task_id: [status for _, status in ends] for task_id, ends in told.items()
    }

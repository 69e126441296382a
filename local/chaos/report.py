"""The campaign's report: tables for people, and whether all promises were kept."""

from collections import Counter
from collections.abc import Sequence
from statistics import quantiles

from rich.console import Console
from rich.table import Table

from local.chaos.campaign import Found
from local.chaos.clients import Receipt
from local.chaos.faults import SERVICES, Fault
from local.chaos.invariants import Promise, Violation, credit_drift


def report(found: Found, broken: Sequence[Violation], *, seed: int, console: Console) -> None:
    """Shows all that was found, and what is broken by name."""
    console.print(_faults(found))
    console.print(_table("What providers did", Counter(receipt.order.misbehaviour for receipt in found.world.receipts)))
    console.print(_table("What clients did", Counter(receipt.order.reception for receipt in found.world.receipts)))
    console.print(_results(found, broken, seed))
    for violation in broken:
        console.print(f"[red]{violation.promise}[/]: {violation.name}: {violation.what}")


def percentiles(seconds: Sequence[float]) -> str:
    """The 50th and 95th percentile and the longest."""
    if not seconds:
        return "-"
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"p50 {cuts[49]:,.1f} s, p95 {cuts[94]:,.1f} s, max {max(seconds):,.1f} s"


def _faults(found: Found) -> Table:
    table = Table(title="Calls of AWS that went wrong", title_justify="left")
    table.add_column("")
    for service in SERVICES:
        table.add_column(service, justify="right")
    table.add_column("all", justify="right")
    for fault in Fault:
        counts = [found.injected[fault, service] for service in SERVICES]
        table.add_row(fault, *(str(count or "") for count in counts), str(sum(counts)))
    return table


def _table(title: str, orders: Counter[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("orders", justify="right")
    for name, count in orders.most_common():
        table.add_row(name, str(count))
    return table


def _results(found: Found, broken: Sequence[Violation], seed: int) -> Table:
    world = found.world
    by_promise = Counter(violation.promise for violation in broken)
    by_provider = Counter(task.provider for task in world.tasks.values())
    by_status = Counter(str(task.status) for task in world.tasks.values())
    undelivered = sum(
        bool(world.purchases[receipt.order.number])
        and all(task.status != "completed" for task in world.tasks_of(receipt))
        for receipt in world.receipts
    )
    waited = [seconds - found.skipped.get(task_id, 0) for task_id, seconds in found.seconds.items()]
    skipped = [seconds for task_id, seconds in found.seconds.items() if task_id in found.skipped]
    told = sum(receipt.is_canceled for receipt in world.receipts)
    table = Table(title="What came of it", title_justify="left", show_header=False)
    table.add_column("", justify="left")
    table.add_column("", justify="left")
    rows = {
        "seed": str(seed),
        "took": f"{found.took:,.0f} s",
        "calls of AWS by functions": f"{found.calls:,}, of which {sum(found.injected.values()):,} went wrong",
        "functions killed": str(found.killed),
        "restarts of MiniStack": f"{found.restarts}, the first of them under fire",
        "orders": str(len(world.receipts)),
        "requests that got a 5xx or no answer": str(sum(receipt.failed_answers for receipt in world.receipts)),
        "acknowledged with 202": str(sum(bool(receipt.acknowledged) for receipt in world.receipts)),
        "refused, with a task": str(sum(bool(receipt.refused) for receipt in world.receipts)),
        "cancellations": f"{sum(map(_is_to_be_canceled, world.receipts))}, {told} told of it at once",
        "tasks": f"{len(world.tasks)}: {_counts(by_provider)}",
        "ends": _counts(by_status),
        "bought, not delivered": f"{undelivered} (failed upstream, canceled, uncopiable, or their id was lost)",
        "from creation to end": percentiles(waited),
        "of which, with skipped time": f"{len(skipped)} tasks; with it: {percentiles(skipped)}",
        "dead letters": f"{found.redriven} redriven, {found.strangers} of nobody's tasks deleted",
        "events": f"{sum(map(len, world.events.values()))} for {len(world.events)} tasks",
        "webhooks": f"{sum(map(len, world.webhooks.values()))} taken for {len(world.webhooks)} tasks, of "
        f"{found.webhooks_came} that came",
        "images": str(len(world.images)),
        "bought twice": str(by_promise[Promise.BOUGHT_ONCE]),
        "lost": str(by_promise[Promise.NOTHING_IS_LOST]),
        "credit drift": str(credit_drift(world)),
        **{f"promise: {promise}": _verdict(by_promise[promise]) for promise in Promise},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _is_to_be_canceled(receipt: Receipt) -> bool:
    return receipt.order.cancels_after is not None and bool(receipt.acknowledged)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))


def _verdict(broken: int) -> str:
    return f"[red]broken {broken} times[/]" if broken else "kept"

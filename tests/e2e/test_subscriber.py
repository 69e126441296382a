"""The example subscriber of the documentation, deployed beside Pixhook as its README says."""

from collections.abc import Iterator

import pytest

from local.stack import ROOT, Stack
from local.waiting import wait_until
from tests.e2e.conftest import PATIENCE_SECONDS, Gateway


@pytest.fixture
def pictures(gateway: Gateway, stack: Stack) -> Iterator[str]:
    """The table of the deployed example."""
    template = ROOT / "docs" / "examples" / "subscriber" / "template.yaml"
    yield stack.deploy_beside(template, "pictures", EventBus=gateway.info.event_bus)["PicturesTable"]
    gateway.info.client("cloudformation").delete_stack(StackName="pictures")


def test_subscriber_notes_the_picture_of_each_order(gateway: Gateway, prompt: str, pictures: str) -> None:
    dynamodb = gateway.info.client("dynamodb")

    def noted(order: str) -> dict[str, dict[str, str]]:
        return dict(dynamodb.get_item(TableName=pictures, Key={"order": {"S": order}}).get("Item", {}))

    task = gateway.submit(model="nano-banana-2", prompt=prompt, metadata={"order": 4711})
    gateway.ended(gateway.submit(model="nano-banana-2", prompt=prompt)["id"])  # of no order

    assert wait_until(lambda: bool(noted("4711")), seconds=PATIENCE_SECONDS)
    picture = noted("4711")
    assert picture["task_id"]["S"] == task["id"]
    assert gateway.stored({"bucket": picture["bucket"]["S"], "key": picture["key"]["S"]})
    assert dynamodb.scan(TableName=pictures)["Count"] == 1

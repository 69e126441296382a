"""AccountsTable: accounts, and their API keys by SHA-256. A key itself is never stored.

An account stands under `account#<account id>`; a key under `key#<sha256>`, so that the authorizer finds it by
one read; and under `key_id#<key id>` a pointer to it, by which it is revoked.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

from pixhook.aws.clients import CONDITION_FAILED, error_code, translated
from pixhook.errors import NotFound
from pixhook.model import KeyHolder

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_from_dynamodb = TypeDeserializer().deserialize


class Accounts:
    """The accounts and their keys."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def holder(self, key_sha256: str) -> KeyHolder | None:
        """Who holds the key; None where it is unknown or revoked. Raises `StoreUnavailable`."""
        with translated("read the API key"):
            answer = self._dynamodb.get_item(
                TableName=self._table, Key={"pk": {"S": f"key#{key_sha256}"}}, ConsistentRead=True
            )
        item = {name: _from_dynamodb(value) for name, value in answer.get("Item", {}).items()}
        if not item or "revoked_at" in item:
            return None
        return KeyHolder(account_id=item["account_id"], key_id=item["key_id"])

    def add(self, account_id: str, name: str, now: datetime) -> None:
        """Writes a new account. Raises `StoreUnavailable`."""
        with translated("write the account"):
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "pk": {"S": f"account#{account_id}"},
                    "account_id": {"S": account_id},
                    "name": {"S": name},
                    "created_at": {"S": now.isoformat()},
                },
                ConditionExpression="attribute_not_exists(pk)",
            )

    def add_key(self, holder: KeyHolder, key_sha256: str, now: datetime) -> None:
        """Writes a new key of an account, all or nothing.

        Raises:
            NotFound: there is no such account.
            StoreUnavailable: whether it was written is not known.
        """
        common = {
            "account_id": {"S": holder.account_id},
            "key_id": {"S": holder.key_id},
            "created_at": {"S": now.isoformat()},
        }
        with translated("write the API key"):
            try:
                self._dynamodb.transact_write_items(
                    TransactItems=[
                        {
                            "ConditionCheck": {
                                "TableName": self._table,
                                "Key": {"pk": {"S": f"account#{holder.account_id}"}},
                                "ConditionExpression": "attribute_exists(pk)",
                            }
                        },
                        {
                            "Put": {
                                "TableName": self._table,
                                "Item": {"pk": {"S": f"key#{key_sha256}"}, **common},
                            }
                        },
                        {
                            "Put": {
                                "TableName": self._table,
                                "Item": {
                                    "pk": {"S": f"key_id#{holder.key_id}"},
                                    "key_sha256": {"S": key_sha256},
                                    **common,
                                },
                            }
                        },
                    ]
                )
            except ClientError as error:
                reasons = error.response.get("CancellationReasons", [])
                if reasons and reasons[0].get("Code") == "ConditionalCheckFailed":
                    raise NotFound(f"There is no account {holder.account_id!r}.") from error
                raise

    def revoke_key(self, key_id: str, now: datetime) -> None:
        """Ends a key; a second time changes nothing.

        Raises:
            NotFound: there is no such key.
            StoreUnavailable: whether it was revoked is not known.
        """
        with translated("revoke the API key"):
            pointer = self._dynamodb.get_item(
                TableName=self._table, Key={"pk": {"S": f"key_id#{key_id}"}}, ConsistentRead=True
            ).get("Item")
            if pointer is None:
                raise NotFound(f"There is no key {key_id!r}.")
            try:
                self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"pk": {"S": f"key#{pointer['key_sha256']['S']}"}},
                    UpdateExpression="SET revoked_at = :now",
                    ConditionExpression="attribute_exists(pk) AND attribute_not_exists(revoked_at)",
                    ExpressionAttributeValues={":now": {"S": now.isoformat()}},
                )
            except ClientError as error:
                if error_code(error) != CONDITION_FAILED:
                    raise

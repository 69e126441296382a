"""The template says what the code says, wherever both have to, and nothing that only works once or in one place."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from datetime import timedelta
from math import ceil
from typing import Any

import pytest

from local.stack import ROOT, read_template
from pixhook.aws import clients, outcomes
from pixhook.aws.uploads import PREFIX as UPLOADS
from pixhook.flows import finish, uploads
from pixhook.flows.submit import ANSWER_SECONDS, SEND_SECONDS
from pixhook.http import FETCH_SECONDS
from pixhook.problems import problem
from pixhook.runtime import Settings
from tests.conftest import SETTINGS

TEMPLATE = read_template()
TEXT = (ROOT / "template.yaml").read_text()
GLOBALS = TEMPLATE["Globals"]["Function"]
RESOURCES: dict[str, dict[str, Any]] = {
    name: resource.get("Properties", {}) for name, resource in TEMPLATE["Resources"].items()
}
FUNCTIONS = {
    name: RESOURCES[name]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
FOREIGN = {"PYDANTIC_DISABLE_PLUGINS"}
"""Environment variables that libraries read."""

EXPIRATIONS = {
    rule["Prefix"]: rule["ExpirationInDays"]
    for rule in RESOURCES["ImagesBucket"]["LifecycleConfiguration"]["Rules"]
    if "Prefix" in rule
}
"""Days after which what is in the bucket is deleted, by where it is."""

API_GATEWAY_SECONDS = 29


def test_every_function_is_in_the_template_and_takes_its_name_from_its_folder() -> None:
    folders = {app.parent.name for app in (ROOT / "functions").glob("*/app.py")}
    assert {name: properties["CodeUri"] for name, properties in FUNCTIONS.items()} == {
        f"{folder.title()}Function": f"functions/{folder}" for folder in folders
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_handler_is_where_the_template_says(name: str) -> None:
    module, _, attribute = GLOBALS["Handler"].partition(".")
    tree = ast.parse((ROOT / FUNCTIONS[name]["CodeUri"] / f"{module}.py").read_text())
    assert attribute in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_environment_is_that_of_the_settings() -> None:
    required = {field.name.upper() for field in fields(Settings) if field.default is MISSING}
    optional = {field.name.upper() for field in fields(Settings)} - required
    own = [function.get("Environment", {}).get("Variables", {}) for function in FUNCTIONS.values()]
    assert GLOBALS["Environment"]["Variables"].keys() - FOREIGN == required
    assert set().union(*own) == optional
    assert required <= SETTINGS.keys() <= required | optional


def test_python_is_the_same_everywhere() -> None:
    layers = [RESOURCES[name] for name in ("DependenciesLayer", "PixhookLayer")]
    assert all(layer["CompatibleRuntimes"] == [GLOBALS["Runtime"]] == ["python3.13"] for layer in layers)
    assert all(layer["CompatibleArchitectures"] == GLOBALS["Architectures"] == ["x86_64"] for layer in layers)
    makefile = (ROOT / "layers/dependencies/Makefile").read_text()
    assert "manylinux2014_x86_64" in makefile
    assert "--python-version 3.13" in makefile


def test_layer_keeps_the_data_of_each_aws_service_in_use() -> None:
    makefile = (ROOT / "layers/dependencies/Makefile").read_text()
    kept = re.search(r"^SERVICES := (.+)$", makefile, re.MULTILINE)
    used = set(re.findall(r'client\("(\w+)"\)', (ROOT / "layers/pixhook/pixhook/runtime.py").read_text()))
    assert kept is not None
    assert set(kept[1].split()) == used


def test_submit_has_time_for_one_provider_and_api_gateway_for_submit() -> None:
    assert SEND_SECONDS < FUNCTIONS["SubmitFunction"]["Timeout"] < API_GATEWAY_SECONDS


def test_who_waits_for_another_submit_waits_until_that_is_over() -> None:
    assert FUNCTIONS["SubmitFunction"]["Timeout"] <= ANSWER_SECONDS


def test_what_has_had_its_time_is_deleted_from_every_table() -> None:
    tables = {name: properties for name, properties in RESOURCES.items() if name.endswith("Table")}
    assert {name: table["TimeToLiveSpecification"] for name, table in tables.items()} == {
        "TasksTable": {"AttributeName": "expires_at", "Enabled": True},
        "AccountsTable": {"AttributeName": "ttl", "Enabled": True},
        "WebhooksTable": {"AttributeName": "ttl", "Enabled": True},
        "BreakersTable": {"AttributeName": "expiration", "Enabled": True},
    }


def test_finish_has_time_for_as_many_images_as_it_takes() -> None:
    rounds = ceil(finish.MAX_IMAGES / finish._SIDE_BY_SIDE)
    assert rounds * FETCH_SECONDS < FUNCTIONS["FinishFunction"]["Timeout"]


def test_outcome_is_nobody_elses_while_it_is_worked_on() -> None:
    assert RESOURCES["FinishQueue"]["VisibilityTimeout"] > FUNCTIONS["FinishFunction"]["Timeout"]


def test_finish_gives_up_on_a_copy_before_the_queue_gives_up_on_the_outcome() -> None:
    tries = RESOURCES["FinishQueue"]["RedrivePolicy"]["maxReceiveCount"]
    assert sum(map(finish.retry_delay, range(1, tries))) > finish.COPY_FOR.total_seconds()


def test_outcome_that_waits_in_s3_outlives_every_message_that_points_to_it() -> None:
    messages = RESOURCES["FinishQueue"], RESOURCES["FinishDeadLetterQueue"]
    seconds = sum(queue["MessageRetentionPeriod"] for queue in messages)
    assert EXPIRATIONS[outcomes.PREFIX] * 24 * 3600 > seconds


def test_images_are_kept_as_long_as_their_tasks() -> None:
    assert EXPIRATIONS["images/"] == GLOBALS["Environment"]["Variables"]["RETENTION_DAYS"] == "RetentionDays"


def test_alarms_watch_all_dead_letters_and_the_pollers() -> None:
    letters = {
        properties["RedrivePolicy"]["deadLetterTargetArn"].removesuffix(".Arn")
        for properties in RESOURCES.values()
        if "RedrivePolicy" in properties
    }
    alarms = [properties for properties in RESOURCES.values() if "AlarmDescription" in properties]
    watched = [
        (alarm["MetricName"], alarm["Dimensions"][0]["Name"], alarm["Dimensions"][0]["Value"]) for alarm in alarms
    ]
    assert len(letters) == 4
    assert sorted(watched) == sorted(
        [
            *(("ApproximateNumberOfMessagesVisible", "QueueName", f"{queue}.QueueName") for queue in letters),
            ("ExecutionsTimedOut", "StateMachineArn", "Poller"),
        ]
    )
    for alarm in alarms:
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
        assert "AlarmTopicArn" in str(alarm["AlarmActions"])


def test_upload_is_kept_as_long_as_it_may_be_used_and_no_longer() -> None:
    usable = timedelta(seconds=uploads.FORM_SECONDS + uploads.PROVIDER_SECONDS)
    assert usable < timedelta(days=EXPIRATIONS[UPLOADS]) <= timedelta(days=2)


def test_no_function_takes_all_of_the_accounts_concurrency() -> None:
    """Those that read queues have a limit there, those that clients call the API's throttles."""
    limits = {
        event["Properties"]["Queue"]: event["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency")
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    }
    assert None not in limits.values(), limits


def test_api_gateways_own_errors_are_problem_documents() -> None:
    ours = problem(Exception()).document.keys()
    for kind, response in RESOURCES["Api"]["GatewayResponses"].items():
        [(content_type, text)] = response["ResponseTemplates"].items()
        document = json.loads(text.replace("$context.error.messageString", '"..."'))
        assert content_type == "application/json"
        assert document["type"] == f"urn:pixhook:problem:{document['code']}"
        if kind.startswith("DEFAULT"):  # whose status is API Gateway's to choose
            assert document.keys() == ours - {"status"}
        else:
            assert document.keys() == ours
            assert document["status"] == response["StatusCode"]


def test_two_stacks_fit_into_one_account() -> None:
    """No resource has a name of its own choosing, save the bus, which cannot do without and takes the stack's."""
    names = [
        (resource, name, value)
        for resource, properties in RESOURCES.items()
        for name, value in properties.items()
        if name.endswith("Name") and name not in {"StageName", "MetricName", "EventBusName"}
    ]
    assert names == [("EventBus", "Name", "${AWS::StackName}-events")]


def test_nothing_is_tied_to_one_account_or_region() -> None:
    assert not re.search(r"\b\d{12}\b", TEXT)
    assert not re.search(r"\b[a-z]{2}-[a-z]+-\d\b", TEXT)


def test_what_only_tests_need_is_off_by_default() -> None:
    assert TEMPLATE["Parameters"]["AdmittedHosts"]["Default"] == ""
    assert TEMPLATE["Parameters"]["PublicBaseUrl"]["Default"] == ""
    assert TEMPLATE["Parameters"]["RequireTls"]["Default"] == "true"


def test_every_method_is_throttled_and_what_anybody_may_call_by_a_limit_of_its_own() -> None:
    throttles = {
        (setting["ResourcePath"].replace("~1", "/").replace("//", "/"), setting["HttpMethod"]): (
            setting["ThrottlingRateLimit"],
            setting["ThrottlingBurstLimit"],
        )
        for setting in RESOURCES["Api"]["MethodSettings"]
    }
    open_routes = {
        (event["Properties"]["Path"], event["Properties"]["Method"])
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Properties"].get("Auth") == {"Authorizer": "NONE"}
    }
    documents = {route for route in open_routes if route[1] == "GET"}
    assert throttles == {
        ("/*", "*"): ("ApiRateLimit", "ApiBurstLimit"),
        **dict.fromkeys(documents, (20, 40)),
        **dict.fromkeys(open_routes - documents, ("CallbackRateLimit", "CallbackBurstLimit")),
    }
    for limit in {limit for limits in throttles.values() for limit in limits}:
        assert 0 < int(TEMPLATE["Parameters"].get(limit, {"Default": limit})["Default"]) <= 1000


def test_nothing_but_the_functions_writes_of_requests() -> None:
    """What API Gateway itself logs or traces holds the URLs of callbacks, which are secrets."""
    api = RESOURCES["Api"]
    assert api.keys().isdisjoint({"AccessLogSetting", "TracingEnabled"})
    for setting in api["MethodSettings"]:
        assert setting.keys().isdisjoint({"LoggingLevel", "DataTraceEnabled"})


def test_bucket_is_not_to_be_had_by_plain_http() -> None:
    policy = TEMPLATE["Resources"]["ImagesBucketPolicy"]
    assert (policy["Condition"], TEMPLATE["Conditions"]["TlsIsRequired"]) == ("TlsIsRequired", ["RequireTls", "true"])
    assert policy["Properties"]["Bucket"] == "ImagesBucket"
    assert policy["Properties"]["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["ImagesBucket.Arn", "${ImagesBucket.Arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_whatever_keeps_data_says_that_it_is_encrypted() -> None:
    says: dict[str, Callable[[dict[str, Any]], object]] = {
        "AWS::SQS::Queue": lambda queue: queue["SqsManagedSseEnabled"],
        "AWS::DynamoDB::Table": lambda table: table["SSESpecification"]["SSEEnabled"],
        "AWS::S3::Bucket": lambda bucket: bool(bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]),
    }
    kept = {
        name: says[resource["Type"]](resource["Properties"])
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] in says
    }
    assert {"FinishQueue", "TasksTable", "ImagesBucket"} <= kept.keys()
    assert all(is_said is True for is_said in kept.values()), kept


def test_firewall_stands_in_front_of_the_api_if_there_is_one() -> None:
    association = TEMPLATE["Resources"]["WebAclAssociation"]
    assert association["Condition"] == "HasWebAcl"
    assert TEMPLATE["Parameters"]["WebAclArn"]["Default"] == ""
    assert association["Properties"]["WebACLArn"] == "WebAclArn"
    assert association["Properties"]["ResourceArn"].endswith("::/restapis/${Api}/stages/${Api.Stage}")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_may_do_only_what_is_named(name: str) -> None:
    for statement in _statements(name):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert not any("*" in action for action in actions)
        assert "*" not in resources


def _statements(name: str) -> Iterator[dict[str, Any]]:
    for policy in FUNCTIONS[name].get("Policies", []):
        yield from policy["Statement"]


def test_aws_service_that_is_silent_is_given_up_before_the_function_is_stopped() -> None:
    options: Any = clients._CONFIG
    each = options.connect_timeout + options.read_timeout
    assert options.retries["total_max_attempts"] * each < GLOBALS["Timeout"]
    for name in ("AuthorizeFunction", "QueryFunction"):
        assert 2 * options.retries["total_max_attempts"] * each < FUNCTIONS[name]["Timeout"]

"""The real template on a local AWS: started, built, deployed, and set up with providers, an account and a key.

What MiniStack needs beyond what AWS does is in `_after_deploy` and `read_side_by_side`, and only there.
"""

import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import yaml
from botocore.exceptions import ClientError

from local.processes import Process, StartFailed
from local.simulators import PROVIDERS, providers_secret
from local.waiting import wait_until

ROOT = Path(__file__).parent.parent
REGION = "us-east-1"
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

_SAM = ROOT / ".local" / "venvs" / "sam" / "bin" / "sam"

_SECONDS_TO_END = 120
"""For a MiniStack that has its state to write."""

_READERS = 3
"""Of attempts at webhooks, beside the one that the template has."""

_CREDITS = 100_000
"""Of the account that the stack begins with."""

type Say = Callable[[str], None]


class DeployFailed(Exception):
    """Building or deploying went wrong; the message says what SAM said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackInfo:
    """What `.local/stack.json` holds: all that a client of the local stack needs."""

    endpoint_url: str
    region: str
    api_url: str
    api_key: str
    account_id: str
    stack_name: str
    event_bus: str
    images_bucket: str
    tasks_table: str
    finish_queue_url: str
    finish_dlq_url: str
    deadline_queue_url: str
    providers_secret: str
    admin_function: str
    simulators_url: str

    @classmethod
    def read(cls, folder: Path) -> "StackInfo | None":
        """The stack that was last set up in `folder`."""
        file = folder / "stack.json"
        return cls(**json.loads(file.read_text())) if file.exists() else None

    def client(self, service: str) -> Any:
        """A boto3 client of the local AWS, with an administrator's rights."""
        return _client(service, self.endpoint_url)

    def resource(self, logical_id: str) -> str:
        """The name, URL or ARN of a resource of the template."""
        found = self.client("cloudformation").describe_stack_resource(
            StackName=self.stack_name, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def invoke_admin(self, **action: Any) -> dict[str, Any]:
        """What the admin function answers. Raises `DeployFailed` with its error."""
        answer = self.client("lambda").invoke(FunctionName=self.admin_function, Payload=json.dumps(action).encode())
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise DeployFailed(f"admin {action['action']}: {result.get('errorMessage', result)}")
        return dict(result)


class Stack:
    """A local stack, with everything that belongs to it in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        simulators_port: int,
        simulators_options: tuple[str, ...] = (),
        parameters: Mapping[str, str] | None = None,
        functions_proxy: str | None = None,
        keeps_state: bool = False,
        say: Say = print,
    ) -> None:
        """Ports of 0 are chosen free ones; `parameters` are the template's.

        Through `functions_proxy`, an HTTP proxy, the functions call AWS.
        With `keeps_state` the stack outlives its MiniStack, so that it can `restart`.
        """
        self.folder = folder
        self.name = "pixhook-local"
        self._say = say
        self._ministack = Process("ministack", folder)
        self._simulators = Process("simulators", folder)
        self._ports = {"ministack": port, "simulators": simulators_port}
        self._simulators_options = simulators_options
        self._parameters = {"AdmittedHosts": "127.0.0.1", "RequireTls": "false", **(parameters or {})}
        self._functions_proxy = functions_proxy
        self._keeps_state = keeps_state
        self.state = folder / "state"
        """Where MiniStack leaves its state when it is stopped in good order: a file per service."""

    def up(self) -> StackInfo:
        """Brings everything up to date with the code; harmless if it is.

        Raises:
            StartFailed, DeployFailed: with the reason.
        """
        port = self._start_ministack()
        endpoint = f"http://127.0.0.1:{port}"
        simulators_url = f"http://127.0.0.1:{self._start_simulators()}"
        outputs = self._build_and_deploy(endpoint)
        api_url = _api_url(endpoint, outputs)
        info = self._info(endpoint, api_url, simulators_url, outputs)
        info.client("secretsmanager").put_secret_value(
            SecretId=info.providers_secret, SecretString=json.dumps(providers_secret(simulators_url))
        )
        info = self._with_key(info)
        _set_account_callbacks(info)
        (self.folder / "stack.json").write_text(json.dumps(asdict(info), indent=2) + "\n")
        (self.folder / "env").write_text(_shell_variables(info))
        return info

    def deploy_beside(self, template: Path, name: str, **parameters: str) -> dict[str, str]:
        """Builds and deploys another template on the same AWS; the outputs. Raises `DeployFailed`."""
        record = self._ministack.running()
        if record is None:
            raise DeployFailed("the stack is not up")
        endpoint = f"http://127.0.0.1:{record.port}"
        built = self.folder / "sam" / name
        self._sam("build", "--template", template, "--build-dir", built, endpoint=endpoint)
        self._sam_deploy(built / "template.yaml", name, parameters, endpoint)
        return _outputs(endpoint, name)

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Stops MiniStack, killing all functions, and starts it again where it was; `meanwhile` happens in between.

        Raises:
            StartFailed: with the reason.
        """
        record = self._ministack.running()
        if record is None or not self._keeps_state:
            raise StartFailed("ministack: only one that runs and keeps its state can be restarted")
        self._let_read(record.port, is_let=False)
        self._ministack.terminate()
        # It writes its state when the last answer is out, and ends when the last function has.
        wait_until(self._has_ended, seconds=_SECONDS_TO_END, every=0.2)
        if self._ministack.stop():
            raise StartFailed(f"ministack: it has not ended in {_SECONDS_TO_END} seconds, and its state is lost")
        meanwhile()
        self._launch_ministack(record.port)
        self._let_read(record.port, is_let=True)

    def _let_read(self, port: int, *, is_let: bool) -> None:
        """Has functions read their queues, or not.

        While it ends, MiniStack would start them for one message after the other, each to be killed. And until somebody
        speaks with its Lambda again, it does not look at the queues.
        """
        with closing(_client("lambda", f"http://127.0.0.1:{port}")) as functions:  # an open connection would hold it up
            for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
                functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=is_let)

    def _has_ended(self) -> bool:
        """Whether MiniStack has; its functions are killed, old ones and those that it still starts."""
        for function in self.functions():
            with suppress(psutil.NoSuchProcess):
                function.kill()
        return self._ministack.running() is None

    def functions(self) -> list[psutil.Process]:
        """The processes in which functions run or wait for their next call."""
        return self._ministack.children()

    def down(self) -> None:
        """Stops what runs and forgets the stack, which is gone with MiniStack's memory."""
        for process in (self._simulators, self._ministack):
            if process.stop():
                self._say(f"Stopped {process.name}")
        self._forget()
        for folder in (self.folder / "tmp", self.state):
            shutil.rmtree(folder, ignore_errors=True)

    def _fresh_folder(self, name: str) -> Path:
        folder = self.folder / "tmp" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _forget(self) -> None:
        for name in ("stack.json", "env", "deployed"):
            (self.folder / name).unlink(missing_ok=True)

    def _start_ministack(self) -> int:
        record = self._ministack.running()
        if record is not None:
            return record.port
        port = self._free_port("ministack")
        self._forget()
        self._say(f"Starting MiniStack on 127.0.0.1:{port}")
        self._launch_ministack(port)
        return port

    def _launch_ministack(self, port: int) -> None:
        # It leaves its workers' folders behind, which may be hundreds; those of before a restart go with the stack.
        temporary = self._fresh_folder(f"ministack-{uuid.uuid4().hex[:8]}")
        self._ministack.start(
            [ROOT / ".local" / "venvs" / "ministack" / "bin" / "ministack"],
            # Its Lambda workers inherit this environment: nothing of the user's own gets into it.
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(temporary),
                "TMPDIR": str(temporary),
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "AUTH": "true",  # IAM is enforced
                **({"HTTP_PROXY": self._functions_proxy} if self._functions_proxy else {}),
                **(self._persistence() if self._keeps_state else {}),
            },
            port=port,
            version="",
            is_ready=lambda: _answers(f"http://127.0.0.1:{port}/_ministack/health"),
        )

    def _persistence(self) -> dict[str, str]:
        objects = self.state / "s3"
        objects.mkdir(parents=True, exist_ok=True)
        return {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.state),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(objects),
        }

    def _start_simulators(self) -> int:
        version = _digest(ROOT / "local" / "simulators") + "".join(self._simulators_options)
        record = self._simulators.running()
        if record is not None and record.version == version:
            return record.port
        port = record.port if record is not None else self._ports["simulators"]
        if self._simulators.stop():
            self._say("The simulators have changed: starting them anew")
        port = port if record is not None else self._free_port("simulators")
        self._say(f"Starting the provider simulators on 127.0.0.1:{port}")
        self._simulators.start(
            [
                ROOT / ".venv" / "bin" / "python",
                "-m",
                "local.simulators",
                "--port",
                str(port),
                *self._simulators_options,
            ],
            environment={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": str(self._fresh_folder("simulators")),
            },
            port=port,
            version=version,
            is_ready=lambda: _answers(f"http://127.0.0.1:{port}/health"),
        )
        return port

    def _free_port(self, name: str) -> int:
        """The port that was asked for. Raises `StartFailed` where somebody has it."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self._ports[name]))
            except OSError as error:
                variable = "PIXHOOK_PORT" if name == "ministack" else "PIXHOOK_SIMULATORS_PORT"
                raise StartFailed(
                    f"{name}: port {self._ports[name]} of 127.0.0.1 cannot be had ({error.strerror}). "
                    f"Stop what uses it, or choose another: make up {variable}=..."
                ) from error
            return int(probe.getsockname()[1])

    def _build_and_deploy(self, endpoint: str) -> dict[str, str]:
        """Deploys what the code now is, if it is not that which stands; the stack's outputs."""
        code = _digest(ROOT / "template.yaml", ROOT / "functions", ROOT / "layers", Path(__file__))
        deployed = self.folder / "deployed"
        if deployed.exists() and deployed.read_text() == code:
            return _outputs(endpoint, self.name)
        self._say("Building and deploying template.yaml")
        build, cache = self.folder / "sam" / "build", self.folder / "sam" / "cache"
        self._sam("build", "--build-dir", build, "--parallel", "--cached", "--cache-dir", cache, endpoint=endpoint)
        outputs = self._deploy(endpoint)
        _after_deploy(endpoint, outputs["ApiId"])
        read_side_by_side(endpoint, self.name, "DeliverFunction", outputs["AttemptQueueUrl"], _READERS)
        deployed.write_text(code)
        return outputs

    def _deploy(self, endpoint: str) -> dict[str, str]:
        """Deploys until the API's URL, which only a deployment tells, is the one that it was told; the outputs."""
        outputs = _outputs(endpoint, self.name)
        while True:
            api_url = _api_url(endpoint, outputs) if outputs else ""
            parameters = self._parameters | ({"PublicBaseUrl": api_url} if api_url else {})
            self._sam_deploy(self.folder / "sam" / "build" / "template.yaml", self.name, parameters, endpoint)
            outputs = _outputs(endpoint, self.name)
            if _api_url(endpoint, outputs) == api_url:
                return outputs

    def _sam_deploy(self, template: Path, name: str, parameters: Mapping[str, str], endpoint: str) -> None:
        self._sam(
            *("deploy", "--template-file", template, "--stack-name", name),
            *("--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
            "--parameter-overrides",
            *(f"{parameter}={value}" for parameter, value in parameters.items()),
            endpoint=endpoint,
        )

    def _sam(self, command: str, *arguments: str | Path, endpoint: str) -> None:
        log = self.folder / "logs" / f"sam-{command}.log"
        environment = (
            os.environ
            | _CREDENTIALS
            | {
                "PATH": f"{_SAM.parent}:{os.environ['PATH']}",
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_DEFAULT_REGION": REGION,
                # The user's own profiles stay out of it.
                "AWS_CONFIG_FILE": str(self.folder / "no-config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-credentials"),
                "SAM_CLI_TELEMETRY": "0",
                "SAM_CLI_POLL_DELAY": "0.3",
                "LAYER_PLATFORM": "host",
            }
        )
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.pop(name, None)
        with log.open("wb") as output:
            done = subprocess.run(
                [_SAM, command, *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
        if done.returncode:
            lines = log.read_text(errors="replace").splitlines()[-30:]
            raise DeployFailed(
                f"sam {command} failed. The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)
            )

    def _info(self, endpoint: str, api_url: str, simulators_url: str, outputs: Mapping[str, str]) -> StackInfo:
        return StackInfo(
            endpoint_url=endpoint,
            region=REGION,
            api_url=api_url,
            api_key="",
            account_id="",
            stack_name=self.name,
            event_bus=outputs["EventBus"],
            images_bucket=outputs["ImagesBucket"],
            tasks_table=outputs["TasksTable"],
            finish_queue_url=outputs["FinishQueueUrl"],
            finish_dlq_url=outputs["FinishDeadLetterQueueUrl"],
            deadline_queue_url=outputs["DeadlineQueueUrl"],
            providers_secret=outputs["ProvidersSecret"],
            admin_function=outputs["AdminFunction"],
            simulators_url=simulators_url,
        )

    def _with_key(self, info: StackInfo) -> StackInfo:
        """`info` with an account and a key: those of the last time, while the stack is the same."""
        known = StackInfo.read(self.folder)
        if known is not None:
            return replace(info, account_id=known.account_id, api_key=known.api_key)
        account_id = info.invoke_admin(action="create_account", name="local")["account_id"]
        info.invoke_admin(action="set_plan", account_id=account_id, plan="enterprise", overrides={"requests": 100_000})
        info.invoke_admin(action="grant_credits", account_id=account_id, credits=_CREDITS)
        key = info.invoke_admin(action="create_key", account_id=account_id)["key"]
        return replace(info, account_id=account_id, api_key=key)


def _set_account_callbacks(info: StackInfo) -> None:
    """Sets the callback URL at each simulator that has one for the whole account, as an operator does by hand."""
    for name, provider in PROVIDERS.items():
        if provider.account_callback:
            url = info.invoke_admin(action="callback_url", provider=name)["callback_url"]
            place = f"{info.simulators_url}/_control/account_callbacks/{name}"
            httpx.put(place, json={"url": url}, trust_env=False).raise_for_status()


def _shell_variables(info: StackInfo) -> str:
    """What a shell `source`s to speak with the stack, and with its AWS by `sam` or `aws`."""
    variables = {
        "API": info.api_url,
        "KEY": info.api_key,
        "SIMULATORS": info.simulators_url,
        "STACK": info.stack_name,
        "AWS_ENDPOINT_URL": info.endpoint_url,
        "AWS_DEFAULT_REGION": info.region,
        **_CREDENTIALS,
    }
    sam = f'sam() {{ SAM_CLI_TELEMETRY=0 {shlex.quote(str(_SAM))} "$@"; }}\n'
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()) + sam


def _outputs(endpoint: str, name: str) -> dict[str, str]:
    cloudformation = _client("cloudformation", endpoint)
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return {}  # its way to say that there is none yet
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _api_url(endpoint: str, outputs: Mapping[str, str]) -> str:
    return f"{endpoint.replace('127.0.0.1', 'localhost')}/_aws/execute-api/{outputs['ApiId']}/v1"


def read_side_by_side(endpoint: str, stack_name: str, function: str, queue_url: str, readers: int) -> None:
    """Gives a FIFO queue more readers, as AWS has one for each group; MiniStack by itself has one for all.

    They are aliases of the function that reads it already, `function` in the template, as it is now.
    """
    resource = _client("cloudformation", endpoint).describe_stack_resource(
        StackName=stack_name, LogicalResourceId=function
    )
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    queue = _client("sqs", endpoint).get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    functions = _client("lambda", endpoint)
    version = functions.publish_version(FunctionName=name)["Version"]
    for number in range(readers):
        alias = f"reader-{number}"
        try:
            functions.update_alias(FunctionName=name, Name=alias, FunctionVersion=version)
        except functions.exceptions.ResourceNotFoundException:
            functions.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
            functions.create_event_source_mapping(
                EventSourceArn=queue["Attributes"]["QueueArn"], FunctionName=f"{name}:{alias}", BatchSize=1
            )


def _after_deploy(endpoint: str, api_id: str) -> None:
    """Tells MiniStack what it does not take over from the template: the API's own error documents."""
    apigateway = _client("apigateway", endpoint)
    template = read_template()
    responses = template["Resources"]["Api"]["Properties"]["GatewayResponses"]
    for kind, response in responses.items():
        status = {"statusCode": str(response["StatusCode"])} if "StatusCode" in response else {}
        headers = response["ResponseParameters"]["Headers"]
        apigateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items()},
            responseTemplates=response["ResponseTemplates"],
            **status,
        )
    apigateway.create_deployment(restApiId=api_id, stageName="v1")


def read_template() -> dict[str, Any]:
    """The template as data; CloudFormation's tags stand as their plain values."""
    return dict(yaml.load((ROOT / "template.yaml").read_text(), _TemplateLoader))  # noqa: S506 - a safe loader


class _TemplateLoader(yaml.SafeLoader):
    """Reads `!Ref x` and its like."""


def _plain(loader: _TemplateLoader, _tag: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            return loader.construct_scalar(node)
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            return loader.construct_mapping(node, deep=True)


_TemplateLoader.add_multi_constructor("!", _plain)


def _client(service: str, endpoint: str) -> Any:
    """A boto3 client of the local AWS, with an administrator's rights."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106
    return session.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _digest(*places: Path) -> str:
    """What changes when a file under `places` does."""
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    sources = [file for file in files if file.is_file() and file.suffix != ".pyc"]
    return hashlib.sha256(b"".join(f"{file}\0".encode() + file.read_bytes() for file in sources)).hexdigest()

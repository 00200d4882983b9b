"""A client of a service that is not served here gets an error that says so, in a form that it can read."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from clients import ONCE, Raw, credentials_of, send, signed
from local_server import RunningServer
from query_requests import query_body, query_error, signed_query, unsigned_query


def sentence(service: str) -> str:
    return f"This endpoint serves kms, iam and sts; the request is signed for '{service}'."


def client(server: RunningServer, service: str) -> Any:
    key = credentials_of(server)
    make: Any = boto3.client
    return make(
        service,
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=ONCE,
    )


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("ec2", "describe_instances", {}, "InvalidAction"),
        ("sqs", "list_queues", {}, "UnknownOperationException"),
        ("sns", "list_topics", {}, "InvalidAction"),
        ("cloudformation", "list_stacks", {}, "InvalidAction"),
        ("resourcegroupstaggingapi", "get_resources", {}, "UnknownOperationException"),
        ("organizations", "describe_organization", {}, "UnknownOperationException"),
        ("secretsmanager", "list_secrets", {}, "UnknownOperationException"),
        ("dynamodb", "list_tables", {}, "UnknownOperationException"),
        ("lambda", "list_functions", {}, "UnknownOperationException"),
        ("eks", "list_clusters", {}, "UnknownOperationException"),
        ("s3", "list_buckets", {}, "InvalidAction"),
        ("route53", "list_hosted_zones", {}, "InvalidAction"),
    ],
)
def test_a_boto3_client_of_another_service(
    server: RunningServer, service: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as raised:
        getattr(client(server, service), operation)(**parameters)
    error = raised.value.response["Error"]
    signed_for = {"resourcegroupstaggingapi": "tagging"}.get(service, service)
    assert (error["Code"], error["Message"]) == (code, sentence(signed_for))
    metadata = raised.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] in {400, 404}
    assert metadata["RequestId"]


def test_a_target_of_another_service(server: RunningServer) -> None:
    target = {"X-Amz-Target": "AWSOrganizationsV20161128.ListRoots"}
    answer = send(server, signed(server, more=target))
    assert (answer.status, answer.error) == (400, "UnknownOperationException")
    assert (
        answer.message == "This endpoint serves kms, iam and sts; the X-Amz-Target is of 'AWSOrganizationsV20161128'."
    )
    unsigned = Raw("POST", "/", {"Content-Type": "application/x-amz-json-1.0", **target}, b"{}")
    assert send(server, unsigned).message == answer.message


def test_an_unknown_operation_of_kms_is_answered_as_aws_does(server: RunningServer) -> None:
    assert send(server, signed(server, "Nonsense")).body == b'{"__type":"UnknownOperationException"}'


def test_a_call_of_kms_that_is_signed_for_another_service(server: RunningServer) -> None:
    answer = send(server, signed(server, service="dynamodb"))
    assert (answer.error, answer.message) == (
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'kms'. ",
    )


def test_a_form_of_another_service(server: RunningServer) -> None:
    form = b"Action=DescribeInstances&Version=2016-11-15"
    for service in ("autoscaling", "x" * 200, "a<b>&"):
        request = signed_query(server, service, form)
        assert query_error(server, request) == (400, "InvalidAction", sentence(service[:64]))
    unsigned = query_error(server, unsigned_query(form))
    assert unsigned == (400, "InvalidAction", "Could not find operation DescribeInstances for version 2016-11-15")
    known = query_error(server, signed_query(server, "kms", query_body("sts", "GetCallerIdentity")))
    assert known == (403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'. ")


def test_a_request_without_a_service_is_answered_as_before(server: RunningServer) -> None:
    answer = send(server, Raw("GET", "/2015-03-31/functions", {}, b""))
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")
    of_lambda = Raw("GET", "/2015-03-31/functions", {"Authorization": credential("lambda")}, b"")
    answer = send(server, of_lambda)
    assert (answer.status, json.loads(answer.body)["message"]) == (404, sentence("lambda"))


def credential(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=AKIA/20261126/us-east-1/{service}/aws4_request, SignedHeaders=x, Signature=x"

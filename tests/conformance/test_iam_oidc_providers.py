"""OpenID Connect providers that accounts make through IAM."""

from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient

from accounts import Account
from client_errors import error_with_status
from identities import ACCOUNT, Identities, iam_tags
from local_server import RunningServer
from policies import allow

THUMBPRINT = "9e99a48a9960b14926bb7f3b02e22da2b0ab7280"


def test_the_calls_of_terraform(iam: IAMClient) -> None:
    """In the order in which the resource aws_iam_openid_connect_provider makes them."""
    url, tags = "https://token.actions.example.com/owner", iam_tags({"Name": "ci", "team": "red"})
    request: Any = {"Url": url, "ClientIDList": ["sts.amazonaws.com", "ci"], "ThumbprintList": [THUMBPRINT]}
    made = iam.create_open_id_connect_provider(**request, Tags=tags)
    arn = made["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.example.com/owner"
    assert made["Tags"] == tags
    read = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert read["Url"] == "token.actions.example.com/owner"
    assert (read["ClientIDList"], read["ThumbprintList"]) == (request["ClientIDList"], [THUMBPRINT])
    assert read["Tags"] == tags
    # A plan that changes everything that can be changed.
    other = THUMBPRINT[::-1]
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=[other])
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="new")
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="new")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="ci")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="ci")
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["team"])
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=iam_tags({"Name": "build"}))
    now = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (now["ClientIDList"], now["ThumbprintList"]) == (["sts.amazonaws.com", "new"], [other])
    assert now["CreateDate"] == read["CreateDate"]
    listed = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)
    assert listed["Tags"] == now["Tags"] == iam_tags({"Name": "build"})
    # The end. As on AWS, deleting it once more is no error.
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    missing = {"Code": "NoSuchEntity", "Message": f"OpenIDConnect Provider not found for arn {arn}"}
    for call, more in (
        (iam.get_open_id_connect_provider, {}),
        (iam.update_open_id_connect_provider_thumbprint, {"ThumbprintList": [other]}),
        (iam.add_client_id_to_open_id_connect_provider, {"ClientID": "x"}),
        (iam.remove_client_id_from_open_id_connect_provider, {"ClientID": "x"}),
        (iam.tag_open_id_connect_provider, {"Tags": tags}),
        (iam.untag_open_id_connect_provider, {"TagKeys": ["a"]}),
        (iam.list_open_id_connect_provider_tags, {}),
    ):
        assert error_with_status(404, call, OpenIDConnectProviderArn=arn, **more) == missing
    assert {"Arn": arn} not in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]


def test_a_url_is_registered_once_in_an_account(iam: IAMClient, away: Account) -> None:
    url = "https://once.example.com/Tenant/"
    made = iam.create_open_id_connect_provider(Url=url, ClientIDList=[], ThumbprintList=[], Tags=[])
    arn = made["OpenIDConnectProviderArn"]
    assert made.get("Tags") is None
    for again in (url, "https://once.example.com/tenant/"):
        assert error_with_status(409, iam.create_open_id_connect_provider, Url=again) == {
            "Code": "EntityAlreadyExists",
            "Message": f"Provider with url {again} already exists.",
        }
    theirs = away.iam.create_open_id_connect_provider(Url=url)["OpenIDConnectProviderArn"]
    assert theirs == arn.replace(ACCOUNT, away.account)
    # An ARN names a provider exactly, and only one of the caller's account.
    for other in (theirs, arn.lower(), arn.rstrip("/")):
        call = iam.get_open_id_connect_provider
        assert error_with_status(404, call, OpenIDConnectProviderArn=other)["Code"] == "NoSuchEntity"
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=theirs)
    assert away.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=theirs)["ClientIDList"] == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com", "InvalidInput"),
        ("example.com", "ValidationError"),
        ("ftp://example.com", "ValidationError"),
        ("https://", "ValidationError"),
        ("https:///path", "ValidationError"),
        ("https://example.com?a=b", "ValidationError"),
        ("https://example.com/?a=b", "ValidationError"),
        ("https://example.com/#a", "ValidationError"),
        ("https://example.com:", "ValidationError"),
        ("https://example.com:port", "ValidationError"),
        ("https://user@example.com", "ValidationError"),
        ("https://example.com/a b", "ValidationError"),
        ("https://example.com/\n", "ValidationError"),
        ("https://exämple.com", "ValidationError"),
        ("https://-example.com", "ValidationError"),
        ("https://example.com/" + "a" * 236, "ValidationError"),
        ("", "ValidationError"),
    ],
)
def test_urls_that_are_no_issuers(iam: IAMClient, url: str, code: str) -> None:
    assert error_with_status(400, iam.create_open_id_connect_provider, Url=url)["Code"] == code


def test_limits_of_one_provider(iam: IAMClient) -> None:
    url = "https://limits.example.com"
    create = iam.create_open_id_connect_provider
    ids = [f"client-{number}" for number in range(100)]
    quota = {"Code": "LimitExceeded", "Message": "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"}
    assert error_with_status(409, create, Url=url, ClientIDList=[*ids, "more"]) == quota
    prints = [f"{number:040x}" for number in range(6)]
    assert error_with_status(400, create, Url=url, ThumbprintList=prints) == {
        "Code": "InvalidInput",
        "Message": "Thumbprint list must contain fewer than 5 entries.",
    }
    for thumbprint, code in (("x" * 40, "InvalidInput"), ("a" * 39, "ValidationError"), ("a" * 41, "ValidationError")):
        assert error_with_status(400, create, Url=url, ThumbprintList=[thumbprint])["Code"] == code
    assert error_with_status(400, create, Url=url, ClientIDList=["a" * 256])["Code"] == "ValidationError"
    arn = create(Url=url, ClientIDList=[*ids, ids[0]], ThumbprintList=prints[:5])["OpenIDConnectProviderArn"]
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ids
    add = iam.add_client_id_to_open_id_connect_provider
    assert error_with_status(409, add, OpenIDConnectProviderArn=arn, ClientID="more") == quota
    update = iam.update_open_id_connect_provider_thumbprint
    for wrong in ([], prints, ["z" * 40]):
        refusal = error_with_status(400, update, OpenIDConnectProviderArn=arn, ThumbprintList=wrong)
        assert refusal["Code"] in {"InvalidInput", "ValidationError"}
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_an_account_has_a_hundred_providers_at_most(server: RunningServer) -> None:
    iam = Account(server, "777788880001").iam
    for number in range(100):
        iam.create_open_id_connect_provider(Url=f"https://issuer-{number:03}.example.com")
    refusal = error_with_status(409, iam.create_open_id_connect_provider, Url="https://one-more.example.com")
    assert refusal["Code"] == "LimitExceeded"
    arns = [each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    assert len(arns) == 100
    summary: Any = iam.get_account_summary()["SummaryMap"]
    assert summary["Providers"] == 100


@pytest.mark.parametrize(
    "arn",
    [f"arn:aws:iam::{ACCOUNT}:role/some-role-of-ours", "a" * 30, f"arn:aws:sts::{ACCOUNT}:oidc-provider/x.example"],
)
def test_arns_that_name_no_provider(iam: IAMClient, arn: str) -> None:
    for call in (iam.get_open_id_connect_provider, iam.delete_open_id_connect_provider):
        assert error_with_status(400, call, OpenIDConnectProviderArn=arn)["Code"] == "InvalidInput"


def test_tags_need_permission_of_their_own_and_decide(identities: Identities, iam: IAMClient) -> None:
    maker = identities.user(allow(do="iam:CreateOpenIDConnectProvider"))
    url, tags = "https://tagged.example.com", iam_tags({"team": "red"})
    refusal = error_with_status(403, maker.iam.create_open_id_connect_provider, Url=url, Tags=tags)
    assert "iam:TagOpenIDConnectProvider" in refusal["Message"]
    arn = iam.create_open_id_connect_provider(Url=url, Tags=tags)["OpenIDConnectProviderArn"]
    for team, may in (("blue", False), ("red", True)):
        when = {"StringEquals": {"aws:ResourceTag/team": team}}
        user = identities.user(allow(do="iam:DeleteOpenIDConnectProvider", on=arn, when=when))
        if may:
            user.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        else:
            call = user.iam.delete_open_id_connect_provider
            assert error_with_status(403, call, OpenIDConnectProviderArn=arn)["Code"] == "AccessDenied"

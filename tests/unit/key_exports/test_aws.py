"""Reading keys with a botocore that does not know all of the API."""

from types import SimpleNamespace

import pytest
from botocore.model import ServiceModel

from strongroom.aws_clients import AwsError, AwsPlace
from strongroom.key_exports.aws import read_keys


def test_a_botocore_that_leaves_out_constraints_of_grants() -> None:
    shapes = {"GrantConstraints": {"type": "structure", "members": {}}}
    model = ServiceModel({"metadata": {}, "operations": {}, "shapes": shapes})
    client = SimpleNamespace(meta=SimpleNamespace(service_model=model))
    with pytest.raises(AwsError, match="botocore is too old to read grants"):
        read_keys(client, AwsPlace(), lambda _done, _total: None)

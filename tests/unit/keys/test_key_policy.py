from strongroom.keys.key_policy import default_policy, reformat

DEFAULT = """\
{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111122223333:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"""


def test_the_default_policy_has_the_text_that_aws_writes() -> None:
    assert default_policy("arn:aws:iam::111122223333:root") == DEFAULT


def test_documents_are_reformatted_in_the_layout_of_aws() -> None:
    assert reformat('{"a":[],"b":{},"c":["x",1,true,null],"d":"\\"\\u00e9"}') == (
        '{\n  "a" : [ ],\n  "b" : { },\n  "c" : [ "x", 1, true, null ],\n  "d" : "\\"\u00e9"\n}'
    )
    assert reformat(DEFAULT) == DEFAULT

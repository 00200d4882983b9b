resource "aws_iam_user" "ada" {
  name = "terraform-ada"
  path = "/people/"
  tags = { team = "payments" }
}

resource "aws_iam_access_key" "ada" {
  user = aws_iam_user.ada.name
}

resource "aws_iam_group" "readers" {
  name = "terraform-readers"
}

resource "aws_iam_user_group_membership" "ada" {
  user   = aws_iam_user.ada.name
  groups = [aws_iam_group.readers.name]
}

data "aws_iam_policy_document" "read" {
  statement {
    actions   = ["kms:Decrypt", "kms:DescribeKey"]
    resources = [aws_kms_key.data.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:team"
      values   = ["payments"]
    }
  }
}

resource "aws_iam_policy" "read" {
  name   = "terraform-read"
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_group_policy_attachment" "readers" {
  group      = aws_iam_group.readers.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_user_policy" "own" {
  user   = aws_iam_user.ada.name
  name   = "own"
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_role_policy" "own" {
  role   = aws_iam_role.app.name
  name   = "own"
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_role_policy_attachment" "app" {
  role       = aws_iam_role.app.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_instance_profile" "app" {
  name = "terraform-app"
  role = aws_iam_role.app.name
}

resource "aws_iam_openid_connect_provider" "issuer" {
  url             = "https://issuer.example.com"
  client_id_list  = ["kms"]
  thumbprint_list = ["0123456789012345678901234567890123456789"]
}

resource "aws_iam_account_alias" "alias" {
  account_alias = "terraform-alias"
}

data "aws_iam_user" "ada" {
  user_name = aws_iam_user.ada.name
}

data "aws_iam_role" "app" {
  name = aws_iam_role.app.name
}

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "3.39.0"
    }
  }
}

variable "endpoint" {
  type = string
}

variable "deployed" {
  type    = number
  default = 1
}

provider "aws" {
  region                  = "us-east-1"
  skip_metadata_api_check = true
  skip_get_ec2_platforms  = true
  endpoints {
    iam = var.endpoint
    kms = var.endpoint
    sts = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

locals {
  root = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root"
}

resource "aws_iam_role" "app" {
  name = "terraform-app"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = local.root } }]
  })
}

resource "aws_kms_key" "data" {
  description             = "release ${var.deployed}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  tags                    = { Release = var.deployed }
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "root", Effect = "Allow", Action = "kms:*", Resource = "*", Principal = { AWS = local.root } },
      { Sid = "app", Effect = "Allow", Action = "kms:Decrypt", Resource = "*", Principal = { AWS = aws_iam_role.app.arn } },
    ]
  })
}

resource "aws_kms_key" "signing" {
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 7
}

resource "aws_kms_external_key" "imported" {
  key_material_base64     = base64encode("0123456789abcdef0123456789abcdef")
  deletion_window_in_days = 7
  enabled                 = true
}

resource "aws_kms_alias" "data" {
  name          = "alias/terraform"
  target_key_id = var.deployed == 1 ? aws_kms_key.data.key_id : aws_kms_external_key.imported.id
}

resource "aws_kms_grant" "equals" {
  name              = "equals"
  key_id            = aws_kms_key.data.key_id
  grantee_principal = aws_iam_role.app.arn
  operations        = ["Encrypt", "Decrypt", "GenerateDataKey"]
  constraints {
    encryption_context_equals = { Department = "Finance" }
  }
}

resource "aws_kms_grant" "subset" {
  name               = "subset"
  key_id             = aws_kms_key.data.key_id
  grantee_principal  = aws_iam_role.app.arn
  retiring_principal = aws_iam_role.app.arn
  operations         = ["Decrypt"]
  constraints {
    encryption_context_subset = { Department = "Finance" }
  }
}

resource "aws_kms_ciphertext" "door" {
  key_id    = aws_kms_external_key.imported.id
  plaintext = "4711"
  context   = { door = "front" }
}

data "aws_kms_secrets" "door" {
  secret {
    name    = "code"
    payload = aws_kms_ciphertext.door.ciphertext_blob
    context = { door = "front" }
  }
}

data "aws_kms_public_key" "signing" {
  key_id = aws_kms_key.signing.key_id
}

data "aws_kms_key" "by_alias" {
  key_id = aws_kms_alias.data.name
}

output "code" {
  value     = data.aws_kms_secrets.door.plaintext["code"]
  sensitive = true
}

output "arn" {
  value = data.aws_kms_key.by_alias.arn
}

output "data" {
  value = aws_kms_key.data.arn
}

output "imported" {
  value = aws_kms_external_key.imported.arn
}

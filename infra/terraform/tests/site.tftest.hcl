# Plans, and applies on a mocked AWS. The variables of the plan come from a file that is written from it:
#     migrator plan terraform --plan plans/adr.example.toml --file example.tfvars.json
#     terraform -chdir=infra/terraform test -var-file=$PWD/example.tfvars.json

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
}

variables {
  vpc_id                    = "vpc-0a1"
  db_subnet_ids             = ["subnet-0a1", "subnet-0a2", "subnet-0a3"]
  worker_subnet_ids         = ["subnet-0b1", "subnet-0b2"]
  client_security_group_ids = ["sg-0c1"]
  classic_security_group_id = "sg-0d1"
  classic_instance_ids      = ["orders-classic-1"]
  image                     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/migrator@sha256:0123456789012345678901234567890123456789012345678901234567890123"
  image_repository_arn      = "arn:aws:ecr:eu-central-1:123456789012:repository/migrator"
  master_password           = "only-for-this-test"
  alarm_webhook_url         = "https://migrator.example.com/alarms/cloudwatch"
  serve = {
    host                = "migrator.example.com"
    certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
    subnet_ids          = ["subnet-0e1", "subnet-0e2"]
    internal            = false
    allowed_cidrs       = ["198.51.100.0/24"]
    environment_secrets = ["MIGRATOR_BOARD_TOKEN", "MIGRATOR_INCIDENT_TOKEN"]
  }
}

run "all" {
  command = apply

  assert {
    condition     = length(module.cluster) == 1 && length(module.operator) == 0
    error_message = "The plan says that Terraform makes the cluster."
  }

  assert {
    condition     = output.board_dns_name != null && length(output.environment_secrets) > 1
    error_message = "The outputs say what is to be filled, and where the board is."
  }
}

run "another_makes_the_cluster" {
  command   = apply
  state_key = "another"

  variables {
    manage_cluster = false
  }

  assert {
    condition     = length(module.cluster) == 0 && length(module.operator) == 1
    error_message = "Two owners would undo each other's changes."
  }

  assert {
    condition     = output.limitless_endpoint == null
    error_message = "There is no endpoint of a cluster that is not made here."
  }
}

run "what_exists_is_used" {
  command = plan

  variables {
    subnet_group        = "ours"
    security_groups     = ["sg-0f1"]
    parameter_group     = "ours"
    kms_key_id          = "arn:aws:kms:eu-central-1:123456789012:key/1"
    monitoring_role_arn = "arn:aws:iam::123456789012:role/monitoring"
    db_subnet_ids       = []
    serve               = null
    alarm_webhook_url   = null
  }

  assert {
    condition = output.aws == {
      subnet_group        = "ours"
      security_groups     = tolist(["sg-0f1"])
      parameter_group     = "ours"
      kms_key_id          = "arn:aws:kms:eu-central-1:123456789012:key/1"
      monitoring_role_arn = "arn:aws:iam::123456789012:role/monitoring"
    }
    error_message = "Nothing is made that the plan names."
  }
}

run "too_few_zones" {
  command = plan

  variables {
    db_subnet_ids = ["subnet-0a1"]
  }

  expect_failures = [var.db_subnet_ids]
}

run "a_tag_is_no_image" {
  command = plan

  variables {
    image = "migrator:latest"
  }

  expect_failures = [var.image]
}

run "a_queue_without_a_worker" {
  command = plan

  variables {
    workers = { control = { queues = ["incident", "control"], count = 1, cpu = 256, memory = 512 } }
  }

  expect_failures = [var.workers]
}

run "classic_is_deleted_by_name" {
  command = plan

  variables {
    classic_instance_ids = []
  }

  expect_failures = [var.classic_instance_ids]
}

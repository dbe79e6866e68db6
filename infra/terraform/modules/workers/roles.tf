# Two roles. The execution role belongs to ECS: it pulls the image, writes logs and hands over secrets. The task role is
# what the tool's own calls are made with: var.actions is written from the table that the code is held to.

locals {
  rds        = "arn:${var.partition}:rds:${var.region}:${var.account}"
  secret_arn = "arn:${var.partition}:secretsmanager:${var.region}:${var.account}:secret"
  keys       = concat([var.kms_key_id], var.secret_key_arns)
  clusters   = [for id in compact([var.cluster_id, var.classic_cluster_id]) : "${local.rds}:cluster:${id}"]
  retires    = var.release_classic && var.classic_cluster_id != null

  of_no_thing  = ["rds:DescribeDBEngineVersions", "rds:DescribeIntegrations"]
  of_instances = ["rds:CreateDBInstance", "rds:DeleteDBInstance"]
  reads_of_rds = [for action in var.actions.observe : action if startswith(action, "rds:") && !contains(local.of_no_thing, action)]
  other_reads  = [for action in var.actions.observe : action if !startswith(action, "rds:") || contains(local.of_no_thing, action)]
  deletions    = [for action in var.actions.retire : action if contains(local.of_instances, action)]
  retirement   = [for action in var.actions.retire : action if !contains(local.of_instances, action)]
  # What a drill restores classic's last copy into: migrator/decommission/aws_restore.py names it so.
  drill = var.classic_cluster_id == null ? "" : "${substr(var.classic_cluster_id, 0, 50)}-migrator-drill"

  statements = concat(
    [
      {
        Sid    = "Observe"
        Effect = "Allow"
        Action = local.reads_of_rds
        # AWS names shard groups by an id that it gives them, instances by names that nobody planned.
        Resource = concat(local.clusters, ["${local.rds}:shard-group:*", "${local.rds}:db:*"])
      },
      {
        # CloudWatch knows no rights by metric, RDS none by version or integration.
        Sid      = "ObserveMetrics"
        Effect   = "Allow"
        Action   = local.other_reads
        Resource = ["*"]
      },
      {
        Sid      = "ExplainOwnRights"
        Effect   = "Allow"
        Action   = var.actions.explain
        Resource = ["arn:${var.partition}:iam::${var.account}:role/${var.name}-task"]
      },
    ],
    length(var.secret_ids) == 0 ? [] : [
      {
        Sid      = "Secrets"
        Effect   = "Allow"
        Action   = [for action in var.actions.secrets : action if startswith(action, "secretsmanager:")]
        Resource = [for id in var.secret_ids : startswith(id, "arn:") ? id : "${local.secret_arn}:${id}-??????"]
      },
      {
        Sid      = "SecretKeys"
        Effect   = "Allow"
        Action   = [for action in var.actions.secrets : action if startswith(action, "kms:")]
        Resource = local.keys
      },
    ],
    length(var.notify_topic_arns) == 0 ? [] : [
      {
        Sid      = "Notify"
        Effect   = "Allow"
        Action   = var.actions.notify
        Resource = var.notify_topic_arns
      },
    ],
    !local.retires ? [] : [
      {
        Sid    = "RetireClassic"
        Effect = "Allow"
        Action = local.retirement
        Resource = [
          "${local.rds}:cluster:${var.classic_cluster_id}",
          "${local.rds}:cluster-snapshot:${var.classic_cluster_id}-before-decommission*",
          "${local.rds}:cluster:${local.drill}",
          "${local.rds}:db:${local.drill}-1",
          "${local.rds}:subgrp:*",
          "${local.rds}:cluster-pg:*",
        ]
      },
      {
        Sid    = "RetireInstances"
        Effect = "Allow"
        Action = local.deletions
        Resource = concat(
          [for id in var.classic_instance_ids : "${local.rds}:db:${id}"],
          ["${local.rds}:db:${local.drill}-1", "${local.rds}:cluster:${local.drill}"],
        )
      },
    ],
  )

  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  description        = "Calls that workers and board of migration ${var.name} make"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "task" {
  name   = "calls"
  role   = aws_iam_role.task.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  description        = "How ECS starts tasks of migration ${var.name}"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Logs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
        },
        {
          Sid      = "Secrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = [for name in sort(local.names) : aws_secretsmanager_secret.environment[name].arn]
        },
        {
          Sid      = "SecretKeys"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [var.kms_key_id]
        },
      ],
      var.image_repository_arn == null ? [] : [
        {
          Sid      = "Image"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [var.image_repository_arn]
        },
        {
          Sid      = "Registry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
      ],
    )
  })
}

# Where `migrator cluster` makes the cluster: what its caller may do, to attach to a person's or a pipeline's role.

locals {
  rds     = "arn:${var.partition}:rds:${var.region}:${var.account}"
  changes = [for action in var.actions.make : action if startswith(action, "rds:") && !startswith(action, "rds:Describe")]
  keys    = [for action in var.actions.make : action if startswith(action, "kms:")]
  passes  = [for action in var.actions.make : action if action == "iam:PassRole"]
  reads   = concat([for action in var.actions.make : action if !contains(concat(local.changes, local.keys, local.passes), action)], var.actions.observe)
}

resource "aws_iam_policy" "this" {
  name        = "${var.name}-cluster-operator"
  description = "migrator cluster create, status and delete of migration ${var.name}"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "MakeTheCluster"
        Effect = "Allow"
        Action = local.changes
        Resource = [
          "${local.rds}:cluster:${var.cluster_id}",
          "${local.rds}:cluster-snapshot:*",
          "${local.rds}:cluster-pg:*",
          "${local.rds}:shard-group:*",
          "${local.rds}:subgrp:*",
        ]
      },
      { Sid = "Read", Effect = "Allow", Action = local.reads, Resource = ["*"] },
      {
        Sid       = "GiveMonitoringItsRole"
        Effect    = "Allow"
        Action    = local.passes
        Resource  = [var.monitoring_role_arn]
        Condition = { StringEquals = { "iam:PassedToService" = ["monitoring.rds.amazonaws.com", "rds.amazonaws.com"] } }
      },
      {
        Sid       = "StorageKey"
        Effect    = "Allow"
        Action    = local.keys
        Resource  = [var.kms_key_id]
        Condition = { StringEquals = { "kms:ViaService" = "rds.${var.region}.amazonaws.com" } }
      },
    ]
  })
}

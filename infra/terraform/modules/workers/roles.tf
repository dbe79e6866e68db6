# Two roles. The execution role belongs to ECS: it pulls the image, writes logs and hands over secrets. The task role is
# what the tool's own calls are made with: var.actions is written from the table that the code is held to.

locals {
  rds        = "arn:${var.partition}:rds:${var.region}:${var.account}"
  secret_arn = "arn:${var.partition}:secretsmanager:${var.region}:${var.account}:secret"
  keys       = concat([var.kms_key_id], var.secret_key_arns)
  # The restore drill names what it makes after classic.
  drill    = var.classic_cluster_id == null ? "" : "${substr(var.classic_cluster_id, 0, 50)}-migrator-drill"
  clusters = [for id in compact([var.cluster_id, var.classic_cluster_id, local.drill]) : "${local.rds}:cluster:${id}"]
  retires  = var.release_classic && var.classic_cluster_id != null

  # These know no rights by resource.
  regional     = ["rds:DescribeDBEngineVersions", "rds:DescribeIntegrations"]
  reads_of_rds = [for action in var.actions.observe : action if startswith(action, "rds:") && !contains(local.regional, action)]
  other_reads  = [for action in var.actions.observe : action if !contains(local.reads_of_rds, action)]
  deletions    = [for action in var.actions.retire : action if action == "rds:DeleteDBInstance"]
  retirement   = [for action in var.actions.retire : action if action != "rds:DeleteDBInstance"]

  # The dossier's probe and its later numbers begin with its own name.
  dossier_path  = var.dossier == null ? "" : trimprefix(var.dossier, "s3://")
  dossier_place = "arn:${var.partition}:s3:::${local.dossier_path}"
  of_bucket     = [for action in var.actions.evidence : action if startswith(action, "s3:GetBucket")]
  of_object     = [for action in var.actions.evidence : action if startswith(action, "s3:") && !startswith(action, "s3:GetBucket")]
  of_signing    = [for action in var.actions.evidence : action if contains(["kms:GetPublicKey", "kms:Sign"], action)]
  of_encryption = [for action in var.actions.evidence : action if startswith(action, "kms:") && !contains(local.of_signing, action)]
  key_base      = "arn:${var.partition}:kms:${var.region}:${var.account}:key"
  signs_by      = var.dossier_key == null ? "" : var.dossier_key
  by_alias      = startswith(local.signs_by, "alias/")

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
        # CloudWatch knows no rights by metric.
        Sid      = "ObserveRegion"
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
    length(var.iam_database_users) == 0 ? [] : [
      {
        # AWS names clusters here by an id that it gives them.
        Sid      = "Login"
        Effect   = "Allow"
        Action   = var.actions.login
        Resource = [for user in var.iam_database_users : "arn:${var.partition}:rds-db:${var.region}:${var.account}:dbuser:*/${user}"]
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
    var.dossier == null ? [] : [
      {
        Sid      = "Dossier"
        Effect   = "Allow"
        Action   = local.of_object
        Resource = ["${trimsuffix(local.dossier_place, ".dossier")}*"]
      },
      {
        Sid      = "DossierBucket"
        Effect   = "Allow"
        Action   = local.of_bucket
        Resource = ["arn:${var.partition}:s3:::${split("/", local.dossier_path)[0]}"]
      },
    ],
    var.dossier_kms_key_id == null ? [] : [
      {
        Sid      = "DossierEncryption"
        Effect   = "Allow"
        Action   = local.of_encryption
        Resource = [startswith(var.dossier_kms_key_id, "arn:") ? var.dossier_kms_key_id : "${local.key_base}/${var.dossier_kms_key_id}"]
      },
    ],
    var.dossier_key == null || local.by_alias ? [] : [
      {
        Sid      = "DossierSignature"
        Effect   = "Allow"
        Action   = local.of_signing
        Resource = [startswith(local.signs_by, "arn:") ? local.signs_by : "${local.key_base}/${local.signs_by}"]
      },
    ],
    !local.by_alias ? [] : [
      {
        Sid      = "DossierSignature"
        Effect   = "Allow"
        Action   = local.of_signing
        Resource = ["${local.key_base}/*"]
        # IAM knows keys, not aliases.
        Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = [local.signs_by] } }
      },
    ],
    !local.retires ? [] : [
      {
        # Classic's key is not known here: whichever RDS itself uses.
        Sid       = "DrillKey"
        Effect    = "Allow"
        Action    = [for action in var.actions.drill : action if startswith(action, "kms:")]
        Resource  = ["${local.key_base}/*"]
        Condition = { StringEquals = { "kms:ViaService" = "rds.${var.region}.amazonaws.com" } }
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
        ]
      },
      {
        Sid    = "Drill"
        Effect = "Allow"
        Action = [for action in var.actions.drill : action if startswith(action, "rds:")]
        Resource = [
          "${local.rds}:cluster:${local.drill}",
          "${local.rds}:db:${local.drill}-1",
          "${local.rds}:cluster-snapshot:*",
          "${local.rds}:cluster-pg:*",
          "${local.rds}:pg:*",
          "${local.rds}:subgrp:*",
        ]
      },
      {
        Sid      = "RetireInstances"
        Effect   = "Allow"
        Action   = local.deletions
        Resource = [for id in var.classic_instance_ids : "${local.rds}:db:${id}"]
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

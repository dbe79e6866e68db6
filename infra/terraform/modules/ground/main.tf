# Each of these is made only where the plan names none that exists already.

locals {
  port               = 5432
  makes_group        = var.subnet_group == null
  makes_access       = length(var.security_groups) == 0
  makes_parameters   = var.parameter_group == null
  makes_key          = var.kms_key_id == null
  makes_monitoring   = var.monitoring_role_arn == null
  rds_log_group_base = "/aws/rds/cluster/${var.cluster_id}"
}

resource "aws_kms_key" "this" {
  count = local.makes_key ? 1 : 0

  description             = "${var.name}: storage of Limitless, secrets, alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountDecides"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.partition}:iam::${var.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        # The topic of the alarms is encrypted with it.
        Sid       = "AlarmsAndEvents"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  count = local.makes_key ? 1 : 0

  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this[0].key_id
}

resource "aws_db_subnet_group" "this" {
  count = local.makes_group ? 1 : 0

  name        = "${var.name}-limitless"
  description = "Limitless of migration ${var.name}"
  subnet_ids  = var.db_subnet_ids
}

resource "aws_security_group" "this" {
  count = local.makes_access ? 1 : 0

  name        = "${var.name}-limitless"
  description = "Limitless of migration ${var.name}"
  vpc_id      = var.vpc_id
}

# Only what is named reaches Limitless; it begins no connections itself, so there is no rule for what goes out.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = local.makes_access ? var.client_security_group_ids : {}

  security_group_id            = aws_security_group.this[0].id
  description                  = each.key
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_rds_cluster_parameter_group" "this" {
  count = local.makes_parameters ? 1 : 0

  name        = "${var.name}-limitless"
  family      = var.parameter_group_family
  description = "Limitless of migration ${var.name}"

  parameter {
    name         = "rds.force_ssl"
    value        = "1"
    apply_method = "immediate"
  }
}

resource "aws_iam_role" "monitoring" {
  count = local.makes_monitoring ? 1 : 0

  name        = "${var.name}-rds-monitoring"
  description = "Enhanced Monitoring of Limitless, which requires it"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  count = local.makes_monitoring ? 1 : 0

  role       = aws_iam_role.monitoring[0].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_cloudwatch_log_group" "rds" {
  for_each = toset(["${local.rds_log_group_base}/postgresql", "${local.rds_log_group_base}/${var.shard_group_id}/postgresql"])

  name              = each.value
  retention_in_days = var.log_retention_days
}

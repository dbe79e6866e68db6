# The same settings as migrator/aws/cluster.py has for `migrator cluster create`; a test plans this and compares.

resource "aws_rds_cluster" "this" {
  cluster_identifier       = var.cluster_id
  engine                   = "aurora-postgresql"
  engine_version           = var.engine_version
  cluster_scalability_type = "limitless"
  storage_type             = "aurora-iopt1"
  storage_encrypted        = true
  kms_key_id               = var.kms_key_id

  master_username            = var.master_username
  master_password_wo         = var.master_password
  master_password_wo_version = var.master_password_version

  db_subnet_group_name            = var.subnet_group
  vpc_security_group_ids          = var.security_groups
  db_cluster_parameter_group_name = var.parameter_group

  # Limitless requires Performance Insights, Enhanced Monitoring and exported logs; advanced Database Insights keeps
  # its figures for at least 465 days.
  database_insights_mode                = "advanced"
  performance_insights_enabled          = true
  performance_insights_retention_period = 465
  monitoring_interval                   = var.monitoring_interval_s
  monitoring_role_arn                   = var.monitoring_role_arn
  enabled_cloudwatch_logs_exports       = ["postgresql"]

  iam_database_authentication_enabled = true
  auto_minor_version_upgrade          = var.auto_minor_version_upgrade
  backup_retention_period             = var.backup_retention_days
  copy_tags_to_snapshot               = true
  apply_immediately                   = true

  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = false
  final_snapshot_identifier = var.final_snapshot_id

  timeouts {
    create = "120m"
    update = "120m"
    delete = "120m"
  }
}

resource "aws_rds_shard_group" "this" {
  db_shard_group_identifier = var.shard_group_id
  db_cluster_identifier     = aws_rds_cluster.this.cluster_identifier
  min_acu                   = var.min_acu
  max_acu                   = var.max_acu
  compute_redundancy        = var.compute_redundancy
  publicly_accessible       = false

  timeouts {
    create = "90m"
    update = "90m"
    delete = "90m"
  }
}

output "subnet_group" {
  value = local.makes_group ? aws_db_subnet_group.this[0].name : var.subnet_group
}

output "security_groups" {
  value = local.makes_access ? [aws_security_group.this[0].id] : var.security_groups
}

output "parameter_group" {
  value = local.makes_parameters ? aws_rds_cluster_parameter_group.this[0].name : var.parameter_group
}

output "kms_key_id" {
  value = local.makes_key ? aws_kms_key.this[0].arn : var.kms_key_id
}

output "monitoring_role_arn" {
  value = local.makes_monitoring ? aws_iam_role.monitoring[0].arn : var.monitoring_role_arn
}
